//! The resource and its operator on a real API server: what is admitted, what a sink becomes, and that this stays so
//! whatever happens. Workers' pods never run here, for want of a node that they may run on; those are in `cluster`.

mod admits;
mod children;
mod converges;
mod explains;
mod leads;
mod rights;
mod samples;
mod scene;
mod secrets;
mod settles;
