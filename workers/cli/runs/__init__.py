"""The commands `stanchion run`, `ls`, `show`, `logs`, `message`, `pause` and `resume`."""
