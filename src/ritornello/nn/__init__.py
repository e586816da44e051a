"""Network parts that more than one system uses: parameters and forward passes, no I/O."""
