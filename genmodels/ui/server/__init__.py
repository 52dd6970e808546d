"""What stands between the network and the page: requests, headers, queues, files, health."""
