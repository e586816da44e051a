"""StemGen: a masked transformer over codec tokens that listens to a mix and answers with a stem."""
