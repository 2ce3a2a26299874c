"""The command line: parse, call one verb, show. No rule of the pipeline lives here."""
