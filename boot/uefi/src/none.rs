// No kernel: for clippy and rustdoc, which run nothing.
Kernel { bytes: &[], pages: 0..0, entry: 0, stack: 0, segments: &[] }
