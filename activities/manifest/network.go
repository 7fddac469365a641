package manifest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/daap-dev/daap"
)

// Network is whom databases talk with beside their own pods and their teams. All others are denied, both ways.
type Network struct {
	// Operator and Worker reach databases; Metrics reads their metrics.
	Operator, Worker, Metrics []Peer
	// DNS, APIServers and Store are reached by databases: the cluster's DNS, the Kubernetes API where its endpoints are
	// (policies look at a packet's destination after that of a Service is replaced), and the object store.
	DNS, APIServers, Store []Peer
}

// Peer is a part of the network: addresses, or pods of a namespace. Its text is 10.0.0.0/24, 10.0.0.1, namespace or
// namespace/label=value, each followed by :port or by nothing, which is every port.
type Peer struct {
	Block     string
	Namespace string
	// Label and Value choose pods of the namespace; without them it is all.
	Label, Value string
	Port         int32
}

// UnmarshalText reads a peer; an error says what its text must be.
func (p *Peer) UnmarshalText(text []byte) error {
	host, port, hasPort := cutPort(string(text))
	*p = Peer{}
	if hasPort {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return fmt.Errorf("port %q must be a number from 1 to 65535", port)
		}
		p.Port = int32(number)
	}
	if block, err := netip.ParsePrefix(host); err == nil {
		p.Block = block.Masked().String()
		return nil
	}
	if address, err := netip.ParseAddr(host); err == nil && address.Zone() == "" {
		p.Block = netip.PrefixFrom(address, address.BitLen()).String()
		return nil
	}
	namespace, pods, chosen := strings.Cut(host, "/")
	label, value, _ := strings.Cut(pods, "=")
	if len(validation.IsDNS1123Label(namespace)) > 0 ||
		chosen && len(append(validation.IsQualifiedName(label), validation.IsValidLabelValue(value)...)) > 0 {
		return fmt.Errorf("%q must be an address, a network such as 10.0.0.0/24, a namespace, or namespace/label=value",
			host)
	}
	p.Namespace, p.Label, p.Value = namespace, label, value
	return nil
}

// cutPort divides host:port, where a host with colons of its own stands in brackets if it has a port.
func cutPort(text string) (host, port string, hasPort bool) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, rest, _ := strings.Cut(inner, "]")
		port, hasPort = strings.CutPrefix(rest, ":")
		return host, port, hasPort
	}
	if strings.Count(text, ":") == 1 {
		return strings.Cut(text, ":")
	}
	return text, "", false
}

// Ports of the pods of a database: PostgreSQL and PgBouncer, CNPG's instance manager, and their metrics.
const (
	portPostgres      = daap.PostgresPort
	portStatus        = 8000
	portMetrics       = 9187
	portPoolerMetrics = 9127
	portDNS           = 53
)

// Names of the NetworkPolicies in a database's namespace.
const (
	denyPolicy     = "deny"
	platformPolicy = "platform"
	clientsPolicy  = "clients"
)

// DenyAll denies the namespace's pods everything that another policy does not allow.
func DenyAll(db daap.Database) *networkingv1.NetworkPolicy {
	return policy(db, denyPolicy, networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	})
}

// PlatformTraffic allows what the database needs to run: its own pods, the operator, DNS, the Kubernetes API, the
// object store, DAAP's worker, and who reads metrics.
func PlatformTraffic(db daap.Database, network Network) *networkingv1.NetworkPolicy {
	own := []networkingv1.NetworkPolicyPeer{{PodSelector: new(ownPods())}}
	within := ports(portPostgres, portStatus)
	spec := networkingv1.NetworkPolicySpec{
		PodSelector: ownPods(),
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: own, Ports: within}},
		Egress:      []networkingv1.NetworkPolicyEgressRule{{To: own, Ports: within}},
	}
	for _, from := range []struct {
		peers []Peer
		ports []int32
	}{
		{network.Operator, []int32{portPostgres, portStatus}},
		{network.Worker, []int32{portPostgres}},
		{network.Metrics, []int32{portMetrics, portPoolerMetrics}},
	} {
		for _, peer := range from.peers {
			spec.Ingress = append(spec.Ingress, networkingv1.NetworkPolicyIngressRule{
				From: []networkingv1.NetworkPolicyPeer{peer.selected()}, Ports: ports(from.ports...),
			})
		}
	}
	for _, peer := range network.DNS {
		spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{peer.selected()}, Ports: dnsPorts(),
		})
	}
	for _, to := range [][]Peer{network.APIServers, network.Store} {
		for _, peer := range to {
			spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{
				To: []networkingv1.NetworkPolicyPeer{peer.selected()}, Ports: peer.ports(),
			})
		}
	}
	return policy(db, platformPolicy, spec)
}

// Clients lets the pods of the owning team's namespaces connect, whatever labels the pods themselves have. The
// namespaces of the team's databases have its label too: they are no clients of each other.
func Clients(db daap.Database) *networkingv1.NetworkPolicy {
	return policy(db, clientsPolicy, networkingv1.NetworkPolicySpec{
		PodSelector: ownPods(),
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{LabelTeam: db.OwnerTeam},
				MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: LabelManagedBy, Operator: metav1.LabelSelectorOpDoesNotExist},
				},
			}}},
			Ports: ports(portPostgres),
		}},
	})
}

func policy(db daap.Database, name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: objectMeta(db, name),
		Spec:       spec,
	}
}

// ownPods are the pods that CNPG makes in the namespace: instances, their Jobs and the pool, of any incarnation.
func ownPods() metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: LabelCluster, Operator: metav1.LabelSelectorOpExists},
	}}
}

func (p Peer) selected() networkingv1.NetworkPolicyPeer {
	if p.Block != "" {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: p.Block}}
	}
	selected := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{
		MatchLabels: map[string]string{corev1.LabelMetadataName: p.Namespace},
	}}
	if p.Label != "" {
		selected.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{p.Label: p.Value}}
	}
	return selected
}

// ports are those of the peer itself; nil for every port.
func (p Peer) ports() []networkingv1.NetworkPolicyPort {
	if p.Port == 0 {
		return nil
	}
	return ports(p.Port)
}

func ports(numbers ...int32) []networkingv1.NetworkPolicyPort {
	all := make([]networkingv1.NetworkPolicyPort, 0, len(numbers))
	for _, number := range numbers {
		all = append(all, port(corev1.ProtocolTCP, number))
	}
	return all
}

func dnsPorts() []networkingv1.NetworkPolicyPort {
	return []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, portDNS), port(corev1.ProtocolTCP, portDNS)}
}

func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(number))}
}
