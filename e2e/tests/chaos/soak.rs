//! Three workers under random faults for minutes.
