"""CPU time and peak memory of fresh processes up to the first response, and the size of an installation.

    python tests/benchmarks/bench_cold.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]

Without --ours and --theirs, pip makes fresh environments with this checkout and with the newest ``cohere``, in half a
minute. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.common import (
    HERE,
    OFFICIAL,
    OURS,
    Cases,
    arguments,
    environment,
    print_table,
    serving,
    take_turns,
)

CONSTRUCT = "from {module} import ClientV2\nclient = ClientV2(api_key='k' * 40, base_url={url!r})"
CALL = "\nassert len(client.rerank(model='m', query='q', documents=['a', 'b']).results) == 2"
CODE = {
    "bare Python": "pass",
    "import": "import {module}",
    "construct a client": CONSTRUCT,
    "construct, first call": CONSTRUCT + CALL,
}
# The peak of getrusage would include the parent at the time of the fork.
PRINT_PEAK = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
INSTALLED = """
import importlib.metadata, json, os
names, n_bytes = set(), 0
for distribution in importlib.metadata.distributions():
    name = distribution.metadata["Name"].lower()
    if name not in {"pip", "setuptools", "wheel"}:
        names.add(name)
        files = {str(path.locate()) for path in distribution.files or () if path.suffix != ".pyc"}
        n_bytes += sum(os.path.getsize(path) for path in files if os.path.exists(path))
print(json.dumps([len(names), n_bytes / 1e6]))
"""


def fresh_environment(folder: Path, requirement: str) -> str:
    """Make a virtual environment with the requirement and its dependencies, and return its interpreter."""
    print(f"installing {requirement} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", requirement], check=True)
    return python


def cost(python: str, code: str) -> tuple[float, float]:
    """Run the code in a process, and return its CPU time in ms and its peak memory in MB."""
    process = subprocess.Popen([python, "-Ic", code + PRINT_PEAK], stdout=subprocess.PIPE, env=environment(), text=True)
    assert process.stdout is not None
    with process.stdout:
        peak_kib = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, code
    return (usage.ru_utime + usage.ru_stime) * 1e3, int(peak_kib) * 1024 / 1e6


def measure(n_rounds: int, interpreters: dict[str, tuple[str, str]]) -> tuple[Cases, Cases]:
    """Measure the rows of the tables of CPU time and of memory."""
    cpu: Cases = {}
    memory: Cases = {}
    with serving() as url:
        for case, code in CODE.items():
            measures = {
                name: partial(cost, python, code.format(module=module, url=url))
                for name, (python, module) in interpreters.items()
            }
            take_turns(1, measures)  # writes the .pyc files
            costs = take_turns(n_rounds, measures)
            cpu[case] = {name: [cpu_ms for cpu_ms, _ in rounds] for name, rounds in costs.items()}
            memory[case] = {name: [peak_mb for _, peak_mb in rounds] for name, rounds in costs.items()}
    return cpu, memory


def main() -> None:
    options = arguments(__doc__, n_rounds=9)
    with tempfile.TemporaryDirectory() as folder:
        ours = options.ours or fresh_environment(Path(folder, "ours"), str(HERE.parent.parent))
        theirs = options.theirs or fresh_environment(Path(folder, "theirs"), "cohere")
        interpreters = {OURS: (ours, "cohere_rerank"), OFFICIAL: (theirs, "cohere")}
        cpu, memory = measure(options.rounds, interpreters)
        installed = {
            name: json.loads(subprocess.run([python, "-Ic", INSTALLED], check=True, stdout=subprocess.PIPE).stdout)
            for name, (python, _) in interpreters.items()
        }
    print_table("CPU, ms a process", cpu)
    print_table("peak memory, MB", memory)
    print_table(
        "installed, without bytecode",
        {
            what: {name: [float(found[n])] for name, found in installed.items()}
            for n, what in enumerate(("packages", "MB"))
        },
    )


if __name__ == "__main__":
    main()
