"""The apps that Gatehouse knows: data read and checked at start."""
