"""From video files to feature files: decoding by time, backbones, and the engines that run them."""
