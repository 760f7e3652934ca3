"""An IT help-desk agent; the folder to copy for an agent of your own."""
