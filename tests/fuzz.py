"""`python -m tests.fuzz MINUTES`: the property tests with other random seeds in each round, until one fails."""

import os
import random
import subprocess
import sys
import time

COMMAND = (sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", "-n", "auto")


def main(minutes: float) -> int:
    """0 if no example failed within the time; else pytest's exit code, after it has shown the example."""
    give_up, rounds = time.monotonic() + minutes * 60, 0
    while time.monotonic() < give_up:
        rounds, seed = rounds + 1, random.randrange(2**32)
        print(f"round {rounds}, --hypothesis-seed={seed}", file=sys.stderr, flush=True)
        environment = {**os.environ, "HYPOTHESIS_PROFILE": "search"}
        done = subprocess.run([*COMMAND, f"--hypothesis-seed={seed}"], env=environment)
        if done.returncode:
            print("Paste the decorators under 'an example that fails' above that test.", file=sys.stderr)
            return done.returncode
    print(f"{rounds} rounds, no example failed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
