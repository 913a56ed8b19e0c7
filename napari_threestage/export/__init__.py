"""A segmenter as a file for others, in one of four formats, each proved before it is published.

`exporter` puts the parts together: `card` says what people want to know, `material` takes crops of
the project's images, a module per format writes the file, and `verify` lets a fresh process use it.
"""
