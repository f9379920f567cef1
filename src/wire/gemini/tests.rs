//! Whole requests, answers and streams, both ways.
