"""`batmon unseal`: turns sealed shards into raw ones; only the commits are new."""

from batmon.console import subcommand


def _run(args) -> int:
    from batmon.log import convert, sealing

    return convert.convert(args.paths, args.out, ".bts", ".raw", sealing.raw)


def add_parser(subparsers):
    """Add `batmon unseal`."""
    parser = subcommand(
        subparsers,
        "unseal",
        "turn sealed shards into raw ones, NAME-00042.bts into NAME-00042.raw",
        "  batmon unseal data/van-00007.bts -o raw/\n\n"
        "Data, anchors and events are the same bytes as before sealing; commits are made anew.\n"
        "Nothing is overwritten or deleted.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("-o", "--out", metavar="DIR", help="default: beside the old file")
    parser.set_defaults(run=_run)
