"""An IT help desk: the agent that ships, and the folder to copy for one of your own."""
