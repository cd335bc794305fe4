"""What people would use instead of H-Neurons, on the same answers: a module for the answers, one for what each detector
says of them, one for what it costs, and one for the table."""
