//! The whole system on a real cluster: resources applied by kubectl, the operator and its workers as pods of the images
//! that people build, a real Kafka and a real store, and readers that we did not write.

mod converges;
mod installed;
mod lands;
mod rotates;
mod scales;
mod sink;
mod upgrades;
