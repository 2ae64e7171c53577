"""What is put beside the two losses: penalties, constraints on weights, and the choice of samples that count."""
