package daap

import "slices"

// Role is what an API key allows.
type Role string

// The roles.
const (
	// RolePlatformTeam may do everything, for every team.
	RolePlatformTeam Role = "platform-team"
	// RoleProductTeam may ask for databases of its own team, and see and change those.
	RoleProductTeam Role = "product-team"
)

// Roles returns all roles.
func Roles() []Role { return []Role{RolePlatformTeam, RoleProductTeam} }

// Permission names what a request asks for: the operationId of the contract.
type Permission string

// The permissions, in the order of the contract.
const (
	MayGetHealth             Permission = "getHealth"
	MayGetOpenAPI            Permission = "getOpenAPI"
	MayListDatabases         Permission = "listDatabases"
	MayCreateDatabase        Permission = "createDatabase"
	MayGetDatabase           Permission = "getDatabase"
	MayUpdateDatabase        Permission = "updateDatabase"
	MayDeleteDatabase        Permission = "deleteDatabase"
	MayUnfreezeDatabase      Permission = "unfreezeDatabase"
	MayPreviewDelete         Permission = "previewDelete"
	MayGetDatabaseConnection Permission = "getDatabaseConnection"
	MayListDatabaseEvents    Permission = "listDatabaseEvents"
	MayListBackups           Permission = "listBackups"
	MayBackUpDatabase        Permission = "backUpDatabase"
	MayRestoreDatabase       Permission = "restoreDatabase"
	MayReconcileDatabase     Permission = "reconcileDatabase"
	MayListOperations        Permission = "listOperations"
	MayGetOperation          Permission = "getOperation"
	MayRetryOperation        Permission = "retryOperation"
	MaySkipOperation         Permission = "skipOperation"
	MayAbortOperation        Permission = "abortOperation"
	MayCancelOperation       Permission = "cancelOperation"
	MayListTiers             Permission = "listTiers"
	MayCreateTier            Permission = "createTier"
	MayGetTier               Permission = "getTier"
	MayUpdateTier            Permission = "updateTier"
	MayDeleteTier            Permission = "deleteTier"
	MayGetTierQuota          Permission = "getTierQuota"
	MaySetTierQuota          Permission = "setTierQuota"
	MayGetFleet              Permission = "getFleet"
	MayListExtensions        Permission = "listExtensions"
	MayListOrphans           Permission = "listOrphans"
	MayRemoveOrphan          Permission = "removeOrphan"
	MayListAPIKeys           Permission = "listAPIKeys"
	MayCreateAPIKey          Permission = "createAPIKey"
	MayRevokeAPIKey          Permission = "revokeAPIKey"
	MayRotateAPIKey          Permission = "rotateAPIKey"
	MayListAuditLogs         Permission = "listAuditLogs"
	MayExportAuditLogs       Permission = "exportAuditLogs"
)

// Access says who has a permission.
type Access int

// The accesses. One that is in no table is nobody's.
const (
	AccessNobody Access = iota
	// AccessOpen needs no key.
	AccessOpen
	// AccessOwn is for both roles: platform-team for every team, product-team for what its own team owns. What
	// another team owns does not exist for it.
	AccessOwn
	// AccessAll is for both roles: it is about what no team owns.
	AccessAll
	// AccessPlatform is for platform-team alone.
	AccessPlatform
)

// accesses is who may do what: every operation of the contract has its row.
var accesses = map[Permission]Access{
	MayGetHealth:             AccessOpen,
	MayGetOpenAPI:            AccessOpen,
	MayListDatabases:         AccessOwn,
	MayCreateDatabase:        AccessOwn,
	MayGetDatabase:           AccessOwn,
	MayUpdateDatabase:        AccessOwn,
	MayDeleteDatabase:        AccessOwn,
	MayUnfreezeDatabase:      AccessOwn,
	MayPreviewDelete:         AccessOwn,
	MayGetDatabaseConnection: AccessOwn,
	MayListDatabaseEvents:    AccessOwn,
	MayListBackups:           AccessOwn,
	MayBackUpDatabase:        AccessOwn,
	MayRestoreDatabase:       AccessOwn,
	MayReconcileDatabase:     AccessOwn,
	MayListOperations:        AccessOwn,
	MayGetOperation:          AccessOwn,
	MayRetryOperation:        AccessOwn,
	// What is skipped is not made, and only those who know Kubernetes can say that it may be missing.
	MaySkipOperation:   AccessPlatform,
	MayAbortOperation:  AccessOwn,
	MayCancelOperation: AccessOwn,
	MayListTiers:       AccessAll,
	MayCreateTier:      AccessPlatform,
	MayGetTier:         AccessAll,
	MayUpdateTier:      AccessPlatform,
	MayDeleteTier:      AccessPlatform,
	MayGetTierQuota:    AccessAll,
	MaySetTierQuota:    AccessPlatform,
	MayGetFleet:        AccessPlatform,
	MayListExtensions:  AccessOwn,
	MayListOrphans:     AccessPlatform,
	MayRemoveOrphan:    AccessPlatform,
	MayListAPIKeys:     AccessPlatform,
	MayCreateAPIKey:    AccessPlatform,
	MayRevokeAPIKey:    AccessPlatform,
	MayRotateAPIKey:    AccessPlatform,
	MayListAuditLogs:   AccessPlatform,
	MayExportAuditLogs: AccessPlatform,
}

// Access says who has the permission.
func (p Permission) Access() Access { return accesses[p] }

// Permissions returns all permissions that anybody has, in alphabetical order.
func Permissions() []Permission {
	all := make([]Permission, 0, len(accesses))
	for p := range accesses {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// mayDecide are the permissions for decisions.
var mayDecide = map[Action]Permission{
	ActionRetry:  MayRetryOperation,
	ActionSkip:   MaySkipOperation,
	ActionAbort:  MayAbortOperation,
	ActionCancel: MayCancelOperation,
}

// Scope is whose rows a request may see and change. The zero value is nobody's.
type Scope struct {
	all  bool
	team string
}

// EveryTeam is the scope of all rows.
var EveryTeam = Scope{all: true}

// OfTeam is the scope of what one team owns.
func OfTeam(team string) Scope { return Scope{team: team} }

// Team is the only team whose rows are in the scope, and whether there is such a limit.
func (s Scope) Team() (team string, limited bool) { return s.team, !s.all }

// Covers says whether what the team owns is in the scope.
func (s Scope) Covers(team string) bool { return s.all || team != "" && s.team == team }
