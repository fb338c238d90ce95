//! What every HTTP face of ours shares.
