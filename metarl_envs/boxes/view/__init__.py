"""What is seen of a box: numbers, words and pictures."""
