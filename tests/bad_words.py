"""Command lines that are wrong, made of every setting of the schema and of what is typed wrong at each command."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from bench.config import Settings

Words = tuple[str, ...]
GPT_OSS = "model=random_gpt_oss_20b"
OF_GPT_OSS = ("experts", "experts_per_token", "head_dim", "sliding_window")
HUGE = "9" * 40
NO_LIMIT = {"seed", "model.random.seed", "rig.gpu_processes_at_most", "max_model_len"}
# What no setting of this type can be. A setting that may be unset takes null.
WRONG = {
    bool: ("perhaps", "2", "[true]", "{a:1}", "''", "1.5"),
    int: ("many", "1.5", "[1,2]", "{a:1}", "''", "true", "-7", "nan"),
    float: ("many", "[1,2]", "{a:1}", "''", "true", "-7", "nan", "inf"),
    str: ("[a,b]", "{a:1}", "''", "1", "true", "' '"),
    Literal: ("other", "[a,b]", "{a:1}", "''", "1"),
}


def leaves(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every setting that has a value: its name, and its types."""
    for name, field in section.model_fields.items():
        kinds = list(unions(field.annotation))
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for each in sections:
            yield from leaves(each, f"{prefix}{name}.")
        if not sections and not any(get_origin(kind) is dict for kind in kinds) and not prefix.startswith("sweep."):
            yield prefix + name, kinds


def unions(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in {Literal, dict}:
        yield annotation
        return
    yield annotation
    for each in get_args(annotation):
        yield from unions(each)


def of_the_schema() -> list[Words]:
    """For each setting: another type, nothing, none, too much, a list or a dict for one value, a name that is almost right, something below it."""
    rows: dict[Words, None] = {}
    for name, kinds in leaves():
        first = (GPT_OSS,) if name.rpartition(".")[2] in OF_GPT_OSS else ()
        for value in wrong_values(name, kinds):
            rows[*first, f"{name}={value}"] = None
        for word in (f"{name}.x=1", f"{name}s_=1", f"{name[:-1]}=1", f"~{name}", f"{name}@x=1"):
            rows[*first, word] = None
    return list(rows)


def wrong_values(name: str, kinds: list[Any]) -> Iterator[str]:
    literal = any(get_origin(kind) is Literal for kind in kinds)
    kind = next((each for each in WRONG if each in kinds), Literal if literal else None)
    assert kind is not None, name
    for value in WRONG[kind]:
        if (name, value) not in {("seed", "-7"), ("completion.prompt", "' '")}:
            yield value
    if type(None) not in kinds:
        yield "null"
    if kind is int and name not in NO_LIMIT:
        yield HUGE


# What is typed wrong at `python -m bench`, for one start or (-m) for a sweep.
TYPED: list[Words] = [
    ("foo=1",), ("=5",), ("seed",), ("seed=1", "seed=2"), ("seed='",), ("seed=[1",), ("vllm.args.=1",), (".seed=1",), ("..=1",),
    ("load_format=",), ("load_format=null",), ("load_format=autp",), ("load_format=[auto,dummy]",), ("load_format=[auto]",),
    ("load_format={name:auto}",), ("load_format=range(1,3)",), ("load_format=glob(zz*)",), ("load_format='auto,dummy'",),
    ("model=[tiny_llama,hf]",), ("model=hf",), ("model=tiny-llama",), ("tracking=[local,server]",), ("tracking=server",),
    ("experiment=[gpt_oss_120b,load_formats_gpu]",), ("experiment=mine",), ("model@other=hf",), ("+model@other=hf",), ("~load_format",),
    ("load_format=auto,dummy",), ("repeats=2",), ("precision=10%",), ("aa=true",), ("resume=true",), ("time_budget_s=60",),
    ("repeats_of.auto=1",), ("rig={wait_s:1}", "rig.wait_s=2"), ("vllm.args={a-b:1}", "vllm.args.a_b=2"),
    ("vllm.args.x=1", "++vllm.args.x=2"), ("rig=5",), ("vllm=[a]",), ("rig=null",), ("vllm.args=5",), ("vllm.env=[a]",),
    ("vllm.env.X=[1,2]",), ("vllm.env.X={a:1}",), ("load_format.extra=[1]",), ("sweep.id=x",), ("sweep={id:x}",), ("sweep.kind=prime",),
    ("models_dir=${nope}",), ("completion.prompt=it's",), ("tp=2",), ("uri=sqlite:///x.db",), ("vllm.arg.enforce_eager=true",),
    ("enforce_eager=true",), ("model.random.experts=3",), ("model.random.heads=3",), ("tensor_parallel_size=3",),
    ("hydra/sweeper=basic",), ("hydra/sweeper=optuna",), ("hydra/launcher=joblib",), ("hydra.callbacks=null",), ("~hydra.callbacks.check",),
    ("hydra.searchpath=[file:///tmp]",), ("hydra.foo=1",), ("hydra.job.chdir=true",), ("hydra.sweep.dir=x",), ("hydra.run.dir=''",),
    ("experiment=tensor_parallel_cpu", "hydra.mode=RUN"), ("--dry-run",), ("--config-name=other",), ("--config-path=other",),
    ("--config-dir=nowhere",), ("--cfg", "wrong"), ("--cfg", "job", "-m"), ("--experimental-rerun=x",), ("--repeats", "3"), ("-x",),
    ("tracking.uri=ftp://x",), ("tracking.uri=http://",), ("vllm.python=/nowhere/python",), ("model=hf", "model.path=''"),
    ("hydra.mode=OTHER",), ("max_model_len=long",), ("vllm.args.port=1",), ("vllm.args.model=x",), ("vllm.env.VLLM_API_KEY=x",),
]  # fmt: skip
SWEPT: list[Words] = [
    ("load_format=[auto,safetensors]",), ("load_format=auto,[dummy]",), ("load_format=auto,auto",), ("load_format=auto,'auto'",),
    ("experiment=load_formats_gpu,tensor_parallel_cpu",), ("experiment=null,gpt_oss_120b",), ("repeats=1,2",), ("seed=1,2",),
    ("aa=true,false",), ("resume=true,false",), ("dry_run=true,false",), ("precision=0.1,0.2",), ("verify=true,false",),
    ("min_blocks=5,6",), ("max_blocks=5,6",), ("time_budget_s=60,90",), ("repeats_of={},{auto:1}",), ("tracking=local,server",),
    ("tracking.experiment=a,b",), ("tracking.uri=sqlite:///a.db,sqlite:///b.db",), ("rig.wait_s=1,2",), ("caches_dir=a,b",),
    ("load_format=auto,dummy", "load_format=safetensors"), ("vllm.args={a:1},{b:1}", "vllm.args.a=2"), ("seed=interval(1,2)",),
    ("tensor_parallel_size=range(3,3)",), ("tensor_parallel_size=0,1",), ("repeats_of.dummy=1",), ("model.random.layers=2,4",),
    ("vllm.args.enforce_eager=true,True",), ("vllm.args.x=1,'1'",), ("gpu_memory_utilization=0.5,0.50",), ("max_model_len=128k,128000",),
    ("load_format=auto,nope",), ("hydra/sweeper=basic", "load_format=auto,dummy"), ("hydra/launcher=submitit_local",),
    ("hydra.sweeper._target_=hydra._internal.core_plugins.basic_sweeper.BasicSweeper",), ("hydra.launcher._target_=os.system",),
    ("hydra.sweeper.params=5",), ("hydra.sweeper.params.seed='1,2'", "seed=3"), ("hydra.run.dir=x",), ("hydra.sweep.dir=''",),
    ("hydra.sweep.subdir=same",), ("hydra.job.chdir=true",), ("hydra.run.dir=a,b",), ("vllm.args.x={a:1},{a:1}",),
]  # fmt: skip
OTHERS: dict[str, list[Words]] = {
    "bench.prepare": [
        ("remake=perhaps",), ("remake=true", "remake=false"), ("load_format=[auto,sharded_state]",), ("seed=1", "seed=2"), ("foo=1",), ("--cfg", "job"), ("-x",),
        ("model.random.layers=2,4",), ("repeats=1,2",), ("--config-dir=nowhere",), ("load_format=glob(zz*)",), ("seed='",),
        ("experiment=load_formats_gpu,tensor_parallel_cpu",), ("model=hf",), ("tensor_parallel_size=two",), ("sweep.id=x",),
    ],
    "bench.compare": [
        ("load_format=auto",), ("tensor_parallel_size=2",), ("tracking.uri=sqlite:///a.db,sqlite:///b.db",), ("foo=1",), ("tracking=nope",),
        ("publish=a/b",), ("--config-dir=nowhere",), ("-x",), ("tracking.uri=''",), ("repeats=3",), ("seed",), ("caches_dir=[a,b]",),
        ("sweep=a", "sweep=b"), ("where.seed=1", "where.seed=2"), ("gate_metric=first_token_s",), ("junit=x.xml",), ("gate=5",),
    ],
    "bench.predict": [
        (), ("storage=as_is",), ("storage=nope",), ("storage=gp3", "load_format=auto"), ("storage=gp3,nfs_like",), ("storage=gp3", "latency_ms=0"), ("storage=gp3", "measured=a"),
        ("storage=gp3", "storage.read_iops=0"), ("storage=memory",),
    ],
    "bench.replay": [
        (), ("no.log",), ("no.log", "load_format=auto"), ("no.log", "foo=1"), ("no.log", "start=0"), ("no.log", "start=1", "start=2"), ("--explian", "no.log"),
        ("no.log", "tracking.uri=a,b"), ("no.log", "--config-dir=nowhere"), ("no.log", "tracking=[local,server]"), ("a*.log",),
    ],
    "bench.mlproject": [
        ("bench", "--load_format", "[auto,dummy]"), ("bench", "--overrides", "completion.prompt=it's"), ("bench", "--foo", "1"),
        ("bench", "--load_format", "auto", "--overrides", "load_format=dummy"), ("bench", "--seed", "many"),
        ("bench.prepare", "--load_format", "nope"), ("bench.compare", "--load_format", "auto"), ("bench", "--completion.prompt", "it's"),
    ],
}  # fmt: skip


def every() -> list[tuple[str, Words]]:
    """All of them, each with its command."""
    rows = [("bench", words) for words in [*of_the_schema(), *TYPED, *(("-m", *words) for words in SWEPT)]]
    return rows + [(module, words) for module, several in OTHERS.items() for words in several]
