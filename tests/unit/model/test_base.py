"""What every value is read with."""

import subprocess
import sys
import textwrap

THREADS = textwrap.dedent("""
    import sys, threading, types
    from resticwrap.model.base import from_json
    import msgspec

    sys.setswitchinterval(1e-7)
    SOURCE = (
        "from __future__ import annotations\\nimport msgspec\\n"
        "class Inner(msgspec.Struct):\\n"
        + "".join(f"    a{n}: dict[str, list[int]] | None = None\\n" for n in range(20))
        + "class Outer(msgspec.Struct):\\n"
        + "".join(f"    b{n}: Inner | None = None\\n" for n in range(20))
    )
    for number in range(300):
        module = types.ModuleType(f"made{number}")
        sys.modules[module.__name__] = module
        exec(SOURCE, module.__dict__)
        together, read = threading.Barrier(4), []

        def go():
            together.wait()
            read.append(from_json(module.Outer, b'{"b0": {"a0": {"k": [1]}}}').b0.a0)

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read == [{"k": [1]}] * 4, read
""")
"""With msgspec.json.decode in its place this crashes within a few turns (msgspec 0.22.0)."""


def test_threads_that_meet_a_struct_at_once_read_it() -> None:
    """As two domains do that are backed up side by side: restic's first words come to both at the same moment."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
