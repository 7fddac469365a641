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

// Network are the peers that databases may communicate with, in addition to their own pods and their teams. All other
// traffic is denied, in both directions.
type Network struct {
	// Operator and Worker connect to databases; Metrics reads their metrics.
	Operator, Worker, Metrics []Peer
	// Databases connect to DNS, APIServers and Store: the cluster's DNS, the endpoints of the Kubernetes API (policies
	// match a packet's destination after the Service's address is replaced), and the object store.
	DNS, APIServers, Store []Peer
}

// Peer is a part of the network: addresses, or pods of a namespace. Its text is 10.0.0.0/24, 10.0.0.1, namespace or
// namespace/label=value, each followed by :port or by nothing, which means every port.
type Peer struct {
	Block     string
	Namespace string
	// Label and Value select pods of the namespace; without them, all its pods.
	Label, Value string
	Port         int32
}

// UnmarshalText parses a peer; the error describes the valid forms.
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

// cutPort splits host:port; a host that contains colons is in brackets if a port follows.
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

// DenyAll denies the namespace's pods all traffic that no other policy allows.
func DenyAll(db daap.Database) *networkingv1.NetworkPolicy {
	return policy(db, denyPolicy, networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	})
}

// PlatformTraffic allows the traffic that the database needs: with its own pods, the operator, DNS, the Kubernetes API,
// the object store, DAAP's worker, and the readers of metrics.
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

// Clients lets the pods of the owning team's namespaces connect, whatever their labels. The namespaces of the team's
// databases have the team's label too, but are excluded: databases are not clients of each other.
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

// ownPods are the pods that CNPG creates in the namespace: instances, their Jobs and the pool, of any incarnation.
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

// ports returns the peer's own port; nil for every port.
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
