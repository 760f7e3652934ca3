"""The command line. Data on stdout, talk on stderr. Nothing heavy is imported before a command runs."""


def main() -> None:
    """Entry point of `stanchion`."""
    from workers.cli.app import app

    app(prog_name="stanchion")
