//! Writes the CustomResourceDefinition of `EventSink` as YAML to standard output.

use eventsink_crds::sink::EventSink;
use kube::CustomResourceExt as _;

fn main() -> Result<(), serde_saphyr::ser::Error> {
    let yaml = serde_saphyr::to_string(&EventSink::crd())?;
    println!("# Made by crdgen from crds/src/sink; do not edit.\n{yaml}");
    Ok(())
}
