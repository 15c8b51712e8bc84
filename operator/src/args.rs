//! The command line. Every flag may come from the environment, as a Deployment gives it.

use crate::controller;
use clap::{ArgAction, Args as Flags, Parser, Subcommand};
use eventsink_crds::sink::EventSink;
use kube::CustomResourceExt as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Lands CloudEvents from Kafka in object storage: the operator of EventSink resources.
#[derive(Debug, Parser)]
#[command(name = "eventsink-operator", version)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Reconcile EventSinks until a signal says stop
    Run(Box<Run>),
    /// Print the CustomResourceDefinition as YAML
    Crd,
}

/// Flags of `run`.
#[derive(Debug, Clone, Flags)]
pub struct Run {
    /// Namespaces to watch, with commas between them; all of them when left out
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Image of the workers of sinks that name none
    #[arg(long, env = "WORKER_IMAGE")]
    pub worker_image: String,
    /// Address of /health, /ready and /metrics
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Name of this pod, told in events and in the Lease; one of this process when left out
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Namespace of the Lease; that of the cluster's own settings when left out
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// Work only while holding the Lease, so that two operators never work at once
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name of the Lease; operators that watch different namespaces need different ones
    #[arg(long, env = "LEASE_NAME", default_value = "eventsink-operator")]
    pub lease_name: String,
    /// Time after which a reconcile of one sink is given up and tried again
    #[arg(long, env = "RECONCILE_TIMEOUT", default_value = "60s", value_parser = humantime::parse_duration)]
    pub reconcile_timeout: Duration,
    /// Kafka clients at once that look at the topics of sinks without a ready worker; 0 never asks Kafka
    #[arg(long, env = "KAFKA_CLIENTS", default_value_t = 4)]
    pub kafka_clients: usize,
    /// Give every sink a NetworkPolicy that lets only requests for its workers' HTTP in
    #[arg(long, env = "WORKER_NETWORK_POLICY", default_value_t = false, action = ArgAction::Set)]
    pub worker_network_policy: bool,
    /// Give every sink a PodMonitor of the Prometheus Operator
    #[arg(long, env = "WORKER_POD_MONITOR", default_value_t = false, action = ArgAction::Set)]
    pub worker_pod_monitor: bool,
    /// What is logged: a level, or directives per module
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
}

impl Args {
    /// Does what is asked for.
    pub async fn run(self) -> ExitCode {
        match self.verb {
            Verb::Crd => match serde_saphyr::to_string(&EventSink::crd()) {
                Ok(yaml) => {
                    println!("{yaml}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error),
            },
            Verb::Run(run) => {
                let filter = match EnvFilter::try_new(&run.log) {
                    Ok(filter) => filter,
                    Err(error) => return fail(&format_args!("--log {:?}: {error}", run.log)),
                };
                tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
                match controller::run(*run).await {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail(&error),
                }
            }
        }
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("eventsink-operator: {error}");
    ExitCode::FAILURE
}
