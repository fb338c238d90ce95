//! Everything that must reach the cloud, and the patience to get it there.
