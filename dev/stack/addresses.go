package main

// Everything listens on loopback or on the two ends of the stack's own veth
// pair; nothing can be reached from another machine.
const (
	hostLink = "daap0"
	hostIP   = "10.200.0.1"
	nodeIP   = "10.200.0.2"
	linkMask = "/24"
	linkNet  = "10.200.0.0/24"

	nodeName    = "node1"
	podNet      = "10.244.0.0/24"
	clusterNet  = "10.244.0.0/16"
	serviceNet  = "10.96.0.0/16"
	serviceIP   = "10.96.0.1"
	dnsIP       = "10.96.0.10"
	operatorNS  = "cnpg-system"
	storageName = "local"
	bucket      = "daap-backups"
	auditBucket = "daap-audit"
	temporalNS  = "daap"

	apiserverURL    = "https://" + nodeIP + ":6443"
	addressAPI      = "127.0.0.1:8080"
	addressPostgres = "127.0.0.1:15432"
	addressTemporal = "127.0.0.1:7233"
	addressUI       = "127.0.0.1:8233"
	addressMinIO    = hostIP + ":9000"
	addressConsole  = "127.0.0.1:9001"
)

// hostPorts must be free before the first start. MinIO answers on loopback as
// well as on the address that it is given, which exists only while the stack
// runs.
var hostPorts = []string{addressAPI, addressPostgres, addressTemporal, addressUI, addressConsole, "127.0.0.1:9000"}
