"""The words of a command line: what each means, and what is refused beside what."""

import re
from pathlib import Path

import pytest

from bench import prepare
from bench.cli import split_arguments
from bench.compare import OWN
from bench.compose import compose_settings
from bench.errors import SettingError
from bench.overrides.words import read_settings, read_words
from command_line import call_command
from conftest import FAKE, cut_name


def refusal(*words: str) -> str:
    with pytest.raises(SettingError) as refused:
        read_words(words)
    return str(refused.value)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("tensor_paralel_size=2", "nearest: tensor_parallel_size."),
        ("tp=2", "Its name is tensor_parallel_size."),
        ("uri=x", "nearest: tracking.uri"),
        ("vllm.arg.enforce_eager=true", "nearest: vllm.args.enforce_eager,"),
        ("enforce_eager=true", "Is it an argument of vLLM?  vllm.args.enforce_eager=true"),
        ("load_format=runai", "nearest: runai_streamer;"),
        ("load_format=bitsandbytes", "Another one of vLLM's: load_format.name=bitsandbytes."),
        ("load_format=AUTO", "nearest: auto;"),
        ("experiment=load_format_gpu", "nearest: load_formats_gpu;"),
        ("--config=serve.yaml", "vLLM's own is typed as vllm.args.config=serve.yaml."),
        ("--conf", "--conf: there is no such flag; --config-dir=FOLDER"),
        ("model=org/a-model", "a folder or hub id is typed as  model=hf model.path=org/a-model"),
        ("model.path=~/models/a", "Type model.path=$HOME/models/a."),
        ("vllm.env.1A=1", "between its points a name has letters,"),
        ("--dry-run", "A setting is typed without dashes: dry_run=VALUE."),
        ("--multrun", "unrecognized arguments: --multrun. Nearest: --multirun."),
        ("compare", "a setting is typed as NAME=VALUE. The command is  python -m bench.compare"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_the_nearest(word, nearest):
    """What Hydra offers instead is a plus, with which the misspelt name would become a setting."""
    assert nearest in refusal(word)


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("vllm.args.max_num_seqs=256,512", """vllm.args.max_num_seqs=256,512: several values are a sweep. Add -m; as one value, quoted:  'vllm.args.max_num_seqs="256,512"'."""),
        ("vllm.args.max_num_seqs=range(1,3)", "vllm.args.max_num_seqs=range(1,3): several values are a sweep. Add -m."),
        ("vllm.args.lora_modules=a=/x", """for the shell: 'vllm.args.lora_modules="a=/x"'."""),
        ('++vllm.args.x="a', """for the shell: 'vllm.args.x="VALUE"'."""),
        ("vllm.args.x=${nope}", "Interpolation key 'nope' not found"),
    ],
)  # fmt: skip
def test_no_answer_has_a_plus_that_was_not_typed(workplace, word, answer):
    """bench puts it before a name that is not in conf/."""
    done = workplace.bench("dry_run=true", word)

    assert done.code == 2
    assert answer in done.err
    assert "+" not in done.err


@pytest.mark.parametrize(
    ("words", "both"),
    [
        (("seed=1", "seed=2"), "seed=1 and seed=2 both set seed,"),
        (("+seed=1", "++seed=2"), "seed=1 and seed=2 both set seed,"),
        (("rig={wait_s:0}", "rig.wait_s=1"), "both set rig.wait_s,"),
        (("vllm.args.x=1", "vllm.args={x:2}"), "both set vllm.args.x,"),
        (("vllm.args={x:1},{y:1}", "vllm.args.y=2"), "both set vllm.args.y,"),
        (("vllm.args.max-num-seqs=1", "vllm.args.max_num_seqs=2"), "both set vllm.args.max_num_seqs,"),
        (("vllm.args.a=true", "vllm.args.no-a=true"), "both set vllm.args.a,"),
        (("hydra.sweeper.params.seed='1,2'", "seed=3"), "both set seed,"),
        (("dry_run=true", "dry_run=false"), "Type it once."),
        (("vllm.args.a=1", "vllm.args.a=2"), "Type it once; several values, with -m: vllm.args.a=A,B."),
        (("vllm.args={a:true,b:1,a:false}",), "a stands in it twice,"),
        (('vllm.args.x={"y": [{"a": 1, "a": 2}]}',), "a stands in it twice,"),
    ],
)
def test_a_setting_that_is_typed_twice_is_refused_in_whatever_form(words, both):
    """Of two values Hydra takes the last, and of a dict and a value in it as well."""
    assert both in refusal(*words)


def test_a_commands_own_setting_is_typed_once_too():
    """The last would count."""
    own = {"sweep": "latest"}
    with pytest.raises(SettingError, match=r"^where\.x=1 and where\.x=2 both set where\.x,"):
        split_arguments(["where.x=1", "sweep=a", "where.x=2"], own, "where.")

    assert split_arguments(["sweep=a", "sweep=a", "seed=1"], own) == ({"sweep": "a"}, {}, ["seed=1"])


@pytest.mark.parametrize("word", ["gate=", "junit=", "runs=", "output=", "title= "])
def test_a_commands_own_setting_without_a_value_is_refused(word):
    """As gate=$GATE is with the variable unset: no gate would pass every candidate."""
    with pytest.raises(SettingError, match=rf"^{word.partition('=')[0]}=: must have a value;"):
        split_arguments([word, "seed=1"], OWN, "where.")


def test_what_hydra_would_reduce_to_its_last_or_drop_is_refused_with_what_to_type():
    """A list of choices for a group, and a sweep over experiments that bring sweeps."""
    assert "Several, each a start of its own: -m load_format=auto,safetensors" in refusal(
        "-m", "load_format=[auto,safetensors]"
    )
    with pytest.raises(
        SettingError, match=r"^experiment=load_formats_gpu: it brings hydra\.sweeper\.params of its own"
    ):
        compose_settings(
            ["experiment=load_formats_gpu,tensor_parallel_cpu", "model=tiny_llama", "gpu_memory_utilization=null"]
        )


def test_empty_braces_take_nothing_away():
    """Hydra merges them into what an experiment brings, all of which would stay."""
    with pytest.raises(SettingError, match=r"^repeats_of=\{\}: .* Leave it out with ~repeats_of\.runai_streamer\.$"):
        compose_settings(["experiment=gpt_oss_120b", "repeats_of={}"])
    assert len(compose_settings(["experiment=gpt_oss_120b", "vllm.env={}", "~repeats_of.runai_streamer"])) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("seed=1", "seed=1"),
        ("model=hf", "model.path=x"),
        ("vllm.args.x=1", "vllm.args.y=1"),
        ("rig.wait_s=1", "rig={}"),
    ],
)
def test_what_sets_different_things_or_the_same_is_taken(words):
    """A group's choice and a setting of that choice are two things."""
    assert read_words(words).overrides


def test_flags_may_stand_anywhere(tmp_path):
    """Hydra takes them before the overrides, or behind them all."""
    words = read_words(["seed=1", "--config-dir", str(tmp_path), "load_format=auto,dummy", "-m"])

    assert words.flags == ("--config-dir", str(tmp_path), "-m")
    assert words.overrides == ("seed=1", "load_format=auto,dummy")
    assert words.config_dir == tmp_path


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("basline=auto", "there is no such setting; nearest: baseline."),
        ("wher.tensor_parallel_size=2", "there is no such setting; nearest: where.tensor_parallel_size."),
        ("--explian", "there is no such flag; nearest: --explain."),
        ("trackng.uri=x", "nearest: tracking.uri"),
    ],
)
def test_a_name_of_the_commands_own_is_among_the_nearest(word, nearest):
    """bench.compare has baseline=, which is no setting of a start; bench.replay has a flag."""
    with pytest.raises(SettingError, match=f"^{re.escape(f'{word}: ')}.*{re.escape(nearest)}"):
        read_settings([word], ["sweep", "baseline", "where.", "--explain"])


def test_a_plan_of_preparations_makes_nothing(workplace):
    """dry_run starts nothing, at whichever command."""
    before = sorted(workplace.folder.rglob("*"))
    words = ("load_format=auto,sharded_state", "dry_run=true", f"vllm.python={FAKE}")
    done = call_command(workplace, prepare.main, *words)

    assert done.code == 0, done.err
    assert done.out.splitlines() == ["would be made: models/tiny_llama", f"would be made: models/{cut_name()}"]
    assert [path for path in sorted(workplace.folder.rglob("*")) if path.suffix != ".lock"] == before


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a load format and an experiment of the user's own."""
    for name, text in {
        "load_format/lazy.yaml": "name: safetensors\ncheckpoint: original\ndirect_io: false\nargs: {}\nenv: {}\nextra: {}\n",
        "experiment/mine.yaml": "# @package _global_\nseed: 7\nhydra:\n  sweeper:\n    params:\n      load_format: auto,lazy\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_command_takes_the_users_own_configs(own):
    """Experiments, load formats and what a pattern finds; chosen as bench's own are."""
    words = read_settings([f"--config-dir={own}", "experiment=mine"])
    both = compose_settings(words.overrides, words.config_dir)
    found = compose_settings(["load_format=glob(la*)"], own)

    assert [(each.load_format.name, each.seed) for each in both] == [("auto", 7), ("safetensors", 7)]
    assert [each.load_format.name for each in found] == ["safetensors"]


def test_a_config_that_bench_s_own_would_hide_is_refused(own):
    """Hydra reads the first of a name. A copy that is equal changes nothing."""
    (own / "load_format" / "auto.yaml").write_text("name: auto\n")

    assert "load_format/auto.yaml has the name of bench's own file" in refusal(f"--config-dir={own}")


@pytest.mark.parametrize(
    "params", ["load_format: [auto, dummy]", "vllm: {args: {x: '1,2'}}", "sed: 1,2", "load_format: auto,nope"]
)
def test_a_sweep_of_an_experiment_is_read_as_strictly_as_a_command_line(own, params):
    """A YAML list for a group would be its last member."""
    (own / "experiment" / "mine.yaml").write_text(
        f"# @package _global_\nhydra:\n  sweeper:\n    params:\n      {params}\n"
    )
    with pytest.raises(SettingError):
        compose_settings(["experiment=mine"], own)


def test_what_is_wrong_in_the_users_folder_is_answered_with_where_it_belongs(own):
    """A file one folder too high, and in a file a name that there is not."""
    for name, text in {
        "mine": "repeat: 3",
        "path": "vllm.args.seed: 1",
        "relative": "defaults: [override load_format: dummy]",
        "second": "defaults: [/load_format: dummy]",
    }.items():
        (own / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    for name, answer in {
        "path": "a level of its own: vllm: args: seed: VALUE",
        "relative": "before its name: `override /load_format: CHOICE`",
        "second": "it is written as `override /load_format: dummy`",
    }.items():
        with pytest.raises(SettingError, match=re.escape(answer)):
            compose_settings([f"experiment={name}"], own)
    assert "experiment/mine.yaml belongs into a folder experiment/ beside it." in refusal(
        f"--config-dir={own}/experiment", "experiment=mine"
    )
    with pytest.raises(SettingError, match=r"^repeat: there is no such setting; nearest: repeats"):
        compose_settings(["experiment=mine"], own)


def test_a_defaults_list_with_several_choices_of_a_group_is_refused(own):
    """They compose into the last one."""
    (own / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /load_format: [auto, dummy]\n"
    )
    with pytest.raises(SettingError, match=r"^load_format: a defaults list has several choices"):
        compose_settings(["experiment=mine"], own)
