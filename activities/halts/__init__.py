"""The kill switch: orders to halt and to lift, and the watch in each worker that cancels what a halt covers."""
