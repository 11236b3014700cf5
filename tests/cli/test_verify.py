"""``jaxbatch verify``: exit codes and messages."""

from pathlib import Path


def test_verify_finds_a_changed_byte(main, job, tmp_path):
    assert main("run", str(job))[0] == 0
    out = str(tmp_path / "results" / "job")
    assert main("verify", out)[0] == 0
    (part,) = Path(out, "data").iterdir()
    data = bytearray(part.read_bytes())
    data[20] ^= 1
    part.write_bytes(data)
    code, out_text, err = main("verify", out)
    assert (code, out_text) == (1, "")
    assert part.name in err
    assert "run the job again to write what is missing" in err
    assert main("verify", str(job))[0] == 1
    assert main("verify", str(tmp_path / "nowhere"))[0] == 4


def test_verify_finds_the_output_of_a_job(main, job, tmp_path):
    changed = ("--set", "output.path='elsewhere/{day}'", "--var", "day=1")
    assert main("run", str(job), *changed)[0] == 0
    assert main("verify", str(job))[0] == 4
    code, out_text, _ = main("verify", str(job), *changed)
    assert (code, out_text) == (0, f"{tmp_path / 'elsewhere' / '1'}: every part is present and matches the manifest.\n")
    assert main("verify", str(tmp_path / "elsewhere" / "1"), *changed)[0] == 2
