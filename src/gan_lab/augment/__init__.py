"""What is done to every image before the discriminator sees it."""
