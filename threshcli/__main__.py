"""`python -m threshcli`."""

from threshcli.cli import main

if __name__ == "__main__":
    main()
