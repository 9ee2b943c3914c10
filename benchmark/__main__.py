"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from benchmark.growth.sizes import Sizes
from benchmark.measure import profile
from benchmark.measure.faults import FAULTS, PATIENCE
from benchmark.measure.run import GROUPS, Busy, Plan, Run
from benchmark.measure.speed import Scale
from benchmark.peers import systems
from benchmark.report import front
from benchmark.report import page as report
from benchmark.report.journal import Journal
from benchmark.report.summary import Summary
from harness import servers

RESULTS = Path(__file__).with_name("results")
PHASES = [phase for phases, _ in GROUPS.values() for phase in phases] + list(FAULTS)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        default="run",
        choices=["run", "report", "profile"],
        help="measure (the default); write the files again from what was measured; say where each "
        "microsecond goes, of --variants, in --seconds a figure",
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        default=[],
        metavar="NAME",
        help=", ".join(s.name for s in systems.ALL),
    )
    parser.add_argument("--phases", nargs="+", default=[], choices=PHASES, metavar="NAME", help=", ".join(PHASES))
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="only variants with these names")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="regiment and the limits, without the long phases, CPU in short turns",
    )
    parser.add_argument("--rounds", type=int, default=3, help="repeats of everything, interleaved")
    parser.add_argument("--seconds", type=float, default=2.0, help="about so long for each figure")
    parser.add_argument("--million", type=int, default=1_000_000, help="how many tasks wait in that phase")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout, for the phases beside (with its environment) and growth",
    )
    for name, most in Sizes()._asdict().items():
        parser.add_argument(
            f"--growth-{name}", type=type(most), default=most, metavar="N", help=f"of the phase growth; {most:,}"
        )
    parser.add_argument(
        "--redis",
        nargs="+",
        default=[],
        metavar="RELEASE",
        help="of redis-server: 7 6.2 measures everything on Redis on both; "
        "the first one found if none is named, and only on it",
    )
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds to wait in the fault phases")
    parser.add_argument(
        "--minutes",
        type=float,
        default=600.0,
        help="begin nothing after so long; run again to go on",
    )
    parser.add_argument(
        "--name",
        default=time.strftime("%Y-%m-%d"),
        help="of the files in the results' folder; an unfinished run of this name goes on",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--anyhow", action="store_true", help="also on a machine that others use")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for a quiet machine, at each step")
    parser.add_argument("--fresh", action="store_true", help="forget what a run of this name has measured")
    parser.add_argument("--show", action="store_true", help="print the tables that have figures")
    parser.add_argument("--readme", action="store_true", help="put the short table and the charts into the README")
    return parser


def main() -> int:
    given = arguments().parse_args()
    if given.what == "profile":
        print(profile.write(given.results, given.name, given.variants, given.seconds))
        return 0
    if given.fresh:
        (given.results / f"{given.name}.jsonl").unlink(missing_ok=True)
    journal = Journal(given.results / f"{given.name}.jsonl")
    if given.what == "run":
        try:
            chosen = systems.chosen(given.systems or (["regiment", "limit"] if given.quick else []))
            releases = [servers.present(wanted) for wanted in given.redis]
        except LookupError as error:
            print(error.args[0], file=sys.stderr)
            return 2
        plan = Plan(
            chosen,
            frozenset(given.phases),
            given.rounds,
            Scale(
                given.seconds,
                given.million,
                given.beside,
                Sizes(**{name: getattr(given, f"growth_{name}") for name in Sizes._fields}),
            ),
            given.quick,
            frozenset(given.variants),
            given.minutes,
            given.anyhow,
            given.patience,
            given.wait,
            releases[1:],
        )
        try:
            with servers.using(releases[0]) if releases else nullcontext():
                ended = Run(plan, journal).run()
            if not ended:
                print("the time is up; the same command goes on from here")
        except Busy as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here")
    print(report.write(journal, given.results / given.name))
    if given.show:
        print(report.filled(journal))
    if given.readme:
        summary = Summary(journal.records)
        print(front.write(summary, list(summary.rows(systems.ALL)), given.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
