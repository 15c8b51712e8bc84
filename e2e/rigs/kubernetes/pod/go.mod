module eventsink/rigs/kubernetes/pod

go 1.24.0
