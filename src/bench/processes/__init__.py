"""Commands whose whole process tree ends with us."""
