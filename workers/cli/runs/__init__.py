"""`stanchion run`, `ls`, `show`, `logs`, `message`, `pause`, `resume`."""
