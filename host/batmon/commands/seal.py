"""`batmon seal`: packs raw shards on the PC, with the code and into the bytes of the board."""

from batmon.console import subcommand


def _run(args) -> int:
    from batmon.log import convert, sealing

    return convert.convert(args.paths, args.out, ".raw", ".bts", sealing.sealed)


def add_parser(subparsers):
    """Add `batmon seal`."""
    parser = subcommand(
        subparsers,
        "seal",
        "pack raw shards as the board does, NAME-00042.raw into NAME-00042.bts",
        "  batmon seal data/van-00007.raw\n"
        "  batmon seal data/ -o packed/\n\n"
        "Nothing is overwritten or deleted. Damaged parts are left out and told; then the exit\n"
        "code is 1.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("-o", "--out", metavar="DIR", help="default: beside the old file")
    parser.set_defaults(run=_run)
