"""The whole of ./dev bench suite against stub servers: spreading, going on, and what it says of what is wrong."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pack.bench.suite import run, spread
from pack.demo.tgi_bench import write_tgi_bench
from pack.tests.stub_comfy import workflow
from pack.tests.suite_servers import StubServer, score_rows

ROOT = Path(__file__).resolve().parents[1]
LENGTHS = (9, 13)
CLIPS = 4 * len(LENGTHS)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray, once for all runs in this process."""
    with run._session(None):
        yield


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory):
    return write_tgi_bench(tmp_path_factory.mktemp("data"), 1, LENGTHS)


@pytest.fixture
def data(shared_data, tmp_path):
    return Path(shutil.copytree(shared_data, tmp_path / "data"))


@pytest.fixture
def servers():
    started = []

    def start(count=1, **options):
        started.extend(StubServer(**options) for _ in range(count))
        return started[-count:]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def files(tmp_path):
    return written_workflows(tmp_path)


def written_workflows(folder):
    """Workflow files of the stub: calm.json and noisy.json."""
    paths = []
    for name, amount in (("calm", 10), ("noisy", 60)):
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(workflow(amount)))
    return paths


@pytest.fixture(scope="module")
def whole(shared_data, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    data = shutil.copytree(shared_data, folder / "data")
    server = StubServer()
    assert run.main(arguments(data, written_workflows(folder), folder / "out", [server])) == run.DONE
    server.stop()
    return folder / "out"


def arguments(data, files, out, servers, *more):
    options = ["--data", data, "--out", out, "--size", "64x64", "--workflows", *files]
    return [str(item) for item in (*options, "--server", *(server.url for server in servers), *more)]


@pytest.fixture
def judge(data, files, tmp_path, servers):
    """Runs the command in this process: its status, what it wrote, and its folder."""

    def call(*more, out="out", using=None, workflows=None, folder=data):
        started = using or servers()
        return run.main(arguments(folder, workflows or files, tmp_path / out, started, *more))

    return call


def test_every_clip_is_made_and_scored_by_every_workflow(whole):
    rows = score_rows(whole)
    assert len(rows) == 2 * CLIPS
    assert {row["workflow"] for row in rows} == {"calm", "noisy"}
    for row in rows:
        assert float(row["keyframe_distance"]) < 1e-3  # the stub's ends are the keyframes
    by_name = {name: [float(row["psnr"]) for row in rows if row["workflow"] == name] for name in ("calm", "noisy")}
    assert all(calm > noisy for calm, noisy in zip(by_name["calm"], by_name["noisy"], strict=True))
    for name in ("table.md", "index.html", "curves_9.png", "curves_13.png"):
        assert (whole / name).stat().st_size > 0


def test_two_servers_give_the_scores_of_one(judge, whole, servers, tmp_path):
    judge(out="two", using=servers(2))
    assert score_rows(tmp_path / "two") == score_rows(whole)
    assert (tmp_path / "two" / "table.md").read_text() == (whole / "table.md").read_text()


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(judge, tmp_path):
    for out, seed in (("first", 7), ("again", 7), ("other", 8)):
        judge("--seed", str(seed), "--lengths", "9", out=out)
    assert score_rows(tmp_path / "again") == score_rows(tmp_path / "first") != score_rows(tmp_path / "other")


def scored(out):
    """How many videos are scored, asked from outside while a run goes on."""
    found = (json.loads(path.read_text()) for path in (out / "scores").rglob("*.json") if not path.name.startswith("."))
    return sum("suite" in record["scores"] for record in found)


def when_scored(out, count, act):
    """Acts from a thread as soon as so many jobs are scored."""

    def watch():
        while scored(out) < count:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_server_that_is_killed_loses_only_its_clip_which_another_makes(judge, whole, servers, tmp_path, capfd):
    pair = servers(2, seconds=0.2)
    thread = when_scored(tmp_path / "out", 3, pair[0].kill)
    assert judge(using=pair) == run.DONE
    thread.join()
    assert pair[0].process.returncode == -signal.SIGKILL
    assert f"{pair[0].url} " in capfd.readouterr().out
    assert (tmp_path / "out" / "table.md").read_text() == (whole / "table.md").read_text()


def test_when_every_server_is_gone_the_rest_is_made_by_the_same_command_later(
    judge, whole, servers, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(spread, "PATIENCE_SECONDS", 0.5)
    (server,) = servers(seconds=0.1)
    when_scored(tmp_path / "out", 3, server.kill)
    assert judge(using=[server]) == run.NOT_DONE
    assert "clips are not made yet, because no server answers" in capfd.readouterr().out
    before = {row["clip"] + row["workflow"] + row["length"]: row for row in score_rows(tmp_path / "out")}
    assert 3 <= len(before) < 2 * CLIPS
    assert judge() == run.DONE
    assert (tmp_path / "out" / "table.md").read_text() == (whole / "table.md").read_text()


@pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="the command needs ComfyUI's folder: ./dev test names it")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_goes_on_where_it_was(how, data, files, judge, whole, servers, tmp_path):
    (server,) = servers(seconds=0.2)
    command = [sys.executable, str(ROOT / "demo" / "launch.py"), "bench.suite.run"]
    process = subprocess.Popen(
        [*command, *arguments(data, files, tmp_path / "out", [server])],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores ctrl-C
    )
    while scored(tmp_path / "out") < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate()[1].decode()
    if how != signal.SIGKILL:
        assert "Stopped. What is finished is kept: run the same command again to go on." in said
        assert "Traceback" not in said
        assert process.returncode == run.NOT_DONE
        assert server.queue() == []  # its clip was taken off the server
    done = scored(tmp_path / "out")
    assert 3 <= done < 2 * CLIPS
    assert judge() == run.DONE
    assert (tmp_path / "out" / "table.md").read_text() == (whole / "table.md").read_text()


def test_what_is_finished_is_not_made_again(judge, servers, tmp_path):
    judge()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "frames").rglob("*.mkv")}
    assert judge() == run.DONE
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "frames").rglob("*.mkv")} == before


def times(out):
    return {path: path.stat().st_mtime_ns for path in (out / "frames").rglob("*.mkv")}


def made_anew(out, before):
    """(workflow, clip) of the frames that another run has written since."""
    return {(path.parts[-3], path.stem) for path, time in times(out).items() if before.get(path) != time}


def test_a_workflow_that_changed_is_made_anew_and_said(judge, files, tmp_path, capsys):
    judge()
    before = times(tmp_path / "out")
    files[0].write_text(json.dumps(workflow(11)))
    assert judge() == run.DONE
    assert f"Made anew: {CLIPS} videos of calm, since this changed: workflow." in capsys.readouterr().err
    assert len(made_anew(tmp_path / "out", before)) == CLIPS
    assert {name for name, _ in made_anew(tmp_path / "out", before)} == {"calm"}
    judge(out="anew")
    assert score_rows(tmp_path / "out") == score_rows(tmp_path / "anew")


def test_a_caption_that_changed_is_made_anew_and_said(judge, data, tmp_path, capsys):
    judge("--lengths", "9")
    before = times(tmp_path / "out")
    path, entries = captions(data)
    entries[0]["caption"] += " slowly"
    path.write_text(json.dumps(entries))
    assert judge("--lengths", "9") == run.DONE
    assert "Made anew: 1 video of calm, since this changed: caption (prompt)." in capsys.readouterr().err
    assert made_anew(tmp_path / "out", before) == {(name, entries[0]["folder"]) for name in ("calm", "noisy")}


@pytest.mark.parametrize("place", [0, 4])
def test_a_picture_that_changed_under_its_name_is_made_anew_and_said(place, judge, data, tmp_path, capsys):
    judge("--lengths", "9")
    before, rows = times(tmp_path / "out"), score_rows(tmp_path / "out")
    _, entries = captions(data)
    pictures, others = (sorted(frames_of(data, entry).iterdir()) for entry in entries[:2])
    shutil.copyfile(others[place], pictures[place])
    assert judge("--lengths", "9") == run.DONE
    assert "Made anew: 1 video of calm, since this changed: pictures." in capsys.readouterr().err
    assert made_anew(tmp_path / "out", before) == {(name, entries[0]["folder"]) for name in ("calm", "noisy")}
    assert score_rows(tmp_path / "out") != rows


def test_clips_that_are_touched_and_the_same_are_not_made_again(judge, data, tmp_path):
    judge("--lengths", "9")
    before, moved = times(tmp_path / "out"), Path(shutil.copytree(data, tmp_path / "moved"))
    for _ in range(2):
        assert judge("--lengths", "9", folder=moved) == run.DONE
        assert made_anew(tmp_path / "out", before) == set()


def test_what_was_changed_back_is_never_scored_from_frames_of_the_change(judge, files, data, tmp_path):
    """A run that ends between the frames and their record leaves the record of before."""
    judge("--lengths", "9")
    whole, rows = files[0].read_text(), score_rows(tmp_path / "out")
    records = {path: path.read_bytes() for path in (tmp_path / "out" / "scores").rglob("*.json")}
    files[0].write_text(json.dumps(workflow(90)))
    judge("--lengths", "9")
    files[0].write_text(whole)
    for path, text in records.items():
        path.write_text(json.dumps({**json.loads(text), "scores": {}}))
    assert judge("--lengths", "9") == run.DONE
    assert score_rows(tmp_path / "out") == rows


def captions(data, length=9):
    path = data / f"{length}_dataset_caption.json"
    return path, json.loads(path.read_text())


def frames_of(data, entry, length=9):
    """The frame folder of an entry."""
    (found,) = [path for path in (data / entry["folder"], data / str(length) / entry["folder"]) if path.is_dir()]
    return found


def test_a_broken_picture_leaves_out_its_clip(judge, data, capsys, tmp_path):
    _, entries = captions(data)
    broken = sorted(frames_of(data, entries[0]).iterdir())[4]
    broken.write_bytes(broken.read_bytes()[:200])
    assert judge("--lengths", "9") == run.DONE
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count(broken.name) == 2  # once for each workflow
    assert len(score_rows(tmp_path / "out")) == 2 * 3


def test_a_clip_that_is_mended_is_made_by_the_next_run(judge, data, tmp_path):
    _, entries = captions(data)
    broken = sorted(frames_of(data, entries[0]).iterdir())[4]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    judge("--lengths", "9")
    broken.write_bytes(whole)
    assert judge("--lengths", "9") == run.DONE
    assert len(score_rows(tmp_path / "out")) == 2 * 4
    assert broken.name not in (tmp_path / "out" / "table.md").read_text()


def test_a_clip_shorter_than_asked_and_one_without_a_caption_are_left_out(judge, data, tmp_path):
    path, entries = captions(data)
    for frame in sorted(frames_of(data, entries[0]).iterdir())[7:]:
        frame.unlink()
    del entries[1]["caption"]
    path.write_text(json.dumps(entries))
    assert judge("--lengths", "9") == run.DONE
    assert {row["clip"] for row in score_rows(tmp_path / "out")} == {entry["folder"] for entry in entries[2:]}
    left_out = (tmp_path / "out" / "table.md").read_text().partition("Left out")[2]
    for entry in entries[:2]:
        assert entry["folder"].replace("_", "\\_") in left_out or entry["folder"] in left_out


def test_a_length_without_a_caption_file_is_told_and_the_others_are_made(judge, tmp_path):
    assert judge("--lengths", "9", "25") == run.DONE
    assert "25" in (tmp_path / "out" / "table.md").read_text().partition("Left out")[2]
    assert judge("--lengths", "25", out="none") == run.UNUSABLE


def test_a_workflow_without_the_named_inputs_is_told_and_the_others_are_made(judge, files, tmp_path, capsys):
    files[1].write_text(json.dumps(workflow(n1="Start", n5="Noise")))
    assert judge("--lengths", "9") == run.DONE
    said = capsys.readouterr().err
    assert 'noisy.json: no node is called "First picture" and has image (a Load Image for the first keyframe).' in said
    assert 'noisy.json: no node is called "RandomNoise" or "Seed"' in said
    assert {row["workflow"] for row in score_rows(tmp_path / "out")} == {"calm"}
    assert judge(out="none", workflows=files[1:]) == run.UNUSABLE


def test_a_workflow_that_no_server_can_run_is_told(judge, files, tmp_path, capsys):
    files[1].write_text(json.dumps(workflow(weights="huge")))
    assert judge("--lengths", "9") == run.DONE
    assert "\"Stub Video\" asks for weights 'huge', which it does not have." in capsys.readouterr().err


def test_a_server_of_another_version_and_one_that_is_not_there_are_not_used(judge, servers, tmp_path, capsys):
    (first,), (older,), (gone,) = servers(), servers(version="0.16.3"), servers()
    gone.kill()
    assert judge("--lengths", "9", using=[first, older, gone]) == run.DONE
    said = capsys.readouterr().err
    assert f"{older.url} runs ComfyUI 0.16.3, {first.url} runs 0.30.0: it is not used" in said
    assert f"{gone.url} does not answer" in said
    assert judge("--lengths", "9", using=[older]) == run.DONE
    assert "Made anew: 4 videos of calm, since this changed: ComfyUI." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [("refused", "Prompt: Value not in list (text: 'refused')"), ("broken", "StubVideo: the caption is broken")],
)
def test_what_a_server_says_of_a_clip_is_passed_on(word, said, judge, data, tmp_path):
    path, entries = captions(data)
    entries[0]["caption"] += f" {word}"
    path.write_text(json.dumps(entries))
    assert judge("--lengths", "9") == run.DONE
    assert (tmp_path / "out" / "table.md").read_text().count(said) == 2
    assert len(score_rows(tmp_path / "out")) == 2 * 3


def test_a_clip_that_ends_its_servers_is_left_out(judge, data, servers, monkeypatch, tmp_path, files):
    path, entries = captions(data)
    entries[0]["caption"] += " deadly"
    path.write_text(json.dumps(entries))
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.1,))
    monkeypatch.setattr(spread, "PATIENCE_SECONDS", 3.0)
    assert judge("--lengths", "9", using=servers(4), workflows=files[:1]) == run.DONE
    assert "3 times a server went away while it was made" in (tmp_path / "out" / "table.md").read_text()
    assert len(score_rows(tmp_path / "out")) == 3


@pytest.mark.parametrize("folder", ["frames", "scores", "videos"])
def test_a_disk_that_takes_nothing_ends_the_run_in_a_sentence_and_the_next_one_goes_on(
    folder, judge, whole, tmp_path, capsys
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / folder).write_text("in the way")
    assert judge() == run.NOT_DONE
    said = capsys.readouterr().err
    assert " cannot be written: Not a directory. Make room for it" in said
    assert "run the same command again to go on" in said and "Traceback" not in said
    (tmp_path / "out" / folder).unlink()
    assert judge() == run.DONE
    assert (tmp_path / "out" / "table.md").read_text() == (whole / "table.md").read_text()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_made(judge, tmp_path, capsys):
    (tmp_path / "out").write_text("a file, not a folder")
    assert judge() == run.UNUSABLE
    assert f"--out {tmp_path / 'out'} cannot be written: " in capsys.readouterr().err


def test_two_runs_do_not_share_a_folder(judge, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / run.LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert judge() == run.UNUSABLE
    assert "is in use by another run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "64"], "--size 64 is not WxH or NAME=WxH; names are calm, noisy."),
        (["--size", "64x64", "loud=64x64"], "--size loud=64x64 is not WxH or NAME=WxH"),
        (
            ["--size", "64x64", "calm=65x64"],
            "calm cannot make 65x64: its sides are multiples of 2; ",
        ),
        (["--baseline", "loud"], "--baseline loud is none of the workflows: calm, noisy."),
        (["--lengths", "9", "2"], "--lengths 2: at least 3 frames can be judged."),
        (["--lengths", "0"], "--lengths 0: at least 3 frames can be judged."),
        (["--fps", "0"], "--fps 0: frames a second are 1 to 240."),
        (["--fps", "nan"], "--fps nan: frames a second are 1 to 240."),
        (["--server", "127.0.0.1:8188"], "--server 127.0.0.1:8188 is no address; write http://HOST:PORT"),
        (["--server", "localhost:8188"], "--server localhost:8188 is no address; write http://HOST:PORT"),
        (["--server", "http://"], "--server http: is no address; write http://HOST:PORT"),
    ],
)
def test_wrong_options_are_told(options, said, judge, capsys):
    assert judge(*options) == run.UNUSABLE
    assert said in capsys.readouterr().err


def test_results_among_the_clips_are_refused(judge, data, capsys):
    assert judge(out=data / "results") == run.UNUSABLE
    assert f"--out {data / 'results'} is in the folder of the clips" in capsys.readouterr().err
    assert not (data / "results").exists()


@pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="LPIPS is loaded by ComfyUI: ./dev test names it")
def test_scores_with_and_without_lpips_do_not_join(judge, tmp_path, capsys):
    import torch
    from torchvision.models import alexnet

    weights = tmp_path / "alexnet-owt-7be5be79.pth"
    torch.save(alexnet(weights=None).state_dict(), weights)
    assert judge("--lengths", "9") == run.DONE
    plain, before = score_rows(tmp_path / "out"), times(tmp_path / "out")
    assert judge("--lengths", "9", "--lpips", str(weights)) == run.DONE
    assert "Scored anew: 4 videos of calm, since this changed: --size, --fps, --lpips or" in capsys.readouterr().err
    assert all(row["lpips"] for row in score_rows(tmp_path / "out"))
    assert judge("--lengths", "9") == run.DONE
    assert score_rows(tmp_path / "out") == plain
    assert made_anew(tmp_path / "out", before) == set()


def test_a_workflow_of_another_size_is_scaled_and_the_table_says_so(judge, tmp_path):
    assert judge("--lengths", "9", "--size", "64x64", "noisy=96x48") == run.DONE
    table = (tmp_path / "out" / "table.md").read_text()
    assert "noisy makes 96x48 and is scaled." in table
    assert "calm makes" not in table


def test_an_empty_prompt_may_be_asked_for(judge, data, tmp_path):
    path, entries = captions(data)
    del entries[0]["caption"]
    path.write_text(json.dumps(entries))
    assert judge("--lengths", "9", "--caption", "") == run.DONE
    assert len(score_rows(tmp_path / "out")) == 2 * 4


def test_a_workflow_that_fails_on_its_first_clips_is_not_tried_on_the_rest(judge, data, tmp_path, monkeypatch):
    path, entries = captions(data)
    for entry in entries:
        entry["caption"] += " broken"
    path.write_text(json.dumps(entries))
    monkeypatch.setattr(spread, "HOPELESS", 2)
    assert judge() == run.DONE
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count(", 9 frames, calm: StubVideo: the caption is broken") == 2
    assert table.count(", 9 frames, noisy: not tried, the first 2 clips failed, the last so: StubVideo") == 2
    assert len(score_rows(tmp_path / "out")) == 2 * 4  # the other length


def test_a_workflow_that_made_a_video_is_tried_on_every_clip(judge, data, tmp_path, monkeypatch):
    path, entries = captions(data)
    for entry in entries[1:]:
        entry["caption"] += " broken"
    path.write_text(json.dumps(entries))
    monkeypatch.setattr(spread, "HOPELESS", 2)
    assert judge("--lengths", "9") == run.DONE
    assert "not tried" not in (tmp_path / "out" / "table.md").read_text()
