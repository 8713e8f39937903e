"""Things that happen at a time: pusher, prober, recorder, roller, and the command line that starts them."""
