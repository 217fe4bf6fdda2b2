"""CPU time to parse the JSON of a response, without a network.

python tests/benchmarks/bench_parse.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

from tests.benchmarks.common import OFFICIAL, OURS, arguments, environment, print_table, take_turns

N_RESULTS = (5, 100, 1000)
N_PARSED = 20_000  # results in total, for each figure

# What each client does with the body of a response.
OUR_PARSE = "from cohere_rerank.types.parsing import parse_response as parse"
THEIR_PARSE = """
import cohere
from cohere.core.unchecked_base_model import construct_type

def parse(body):
    return construct_type(type_=cohere.V2RerankResponse, object_=json.loads(body))
"""
MEASURE = """
import json, time
{parse}
times = []
for n_results in {n_results}:
    results = [dict(index=n, relevance_score=1 - n / 1000) for n in range(n_results)]
    meta = dict(api_version=dict(version="2"), billed_units=dict(search_units=1))
    body = json.dumps(dict(id="benchmark", results=results, meta=meta)).encode()
    n_times = {n_parsed} // n_results
    assert len(parse(body).results) == n_results
    start = time.process_time()
    for _ in range(n_times):
        parse(body)
    times.append((time.process_time() - start) / n_times * 1e3)
print(json.dumps(times))
"""


def times_ms(python: str | None, parse: str) -> list[float]:
    """CPU time to parse one response of each size, in a fresh process."""
    code = MEASURE.format(parse=parse, n_results=N_RESULTS, n_parsed=N_PARSED)
    command = [python or sys.executable, "-Ic", code]
    return json.loads(subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    options = arguments(__doc__, n_rounds=7)
    found = take_turns(
        options.rounds,
        {OURS: partial(times_ms, options.ours, OUR_PARSE), OFFICIAL: partial(times_ms, options.theirs, THEIR_PARSE)},
    )
    cases = {
        f"{n_results} results": {name: [times[n] for times in rounds] for name, rounds in found.items()}
        for n, n_results in enumerate(N_RESULTS)
    }
    print_table("CPU, ms a reply", cases)


if __name__ == "__main__":
    main()
