"""Score somebody's results by a published protocol.

python examples/evaluate_results.py results.json activity_net.v1-3.min.json activitynet

The results may be in any form that is read: JSON as ActivityNet has it, a table, a submission.
"""

import sys

import actline


def main(results: str, annotations: str, protocol: str) -> None:
    """Print every score of the protocol."""
    scores = actline.evaluate(results, annotations, protocol=protocol)
    for name, value in scores.scores.items():
        print(f"{name:20} {100 * value:6.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
