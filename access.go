package daap

import "slices"

// Role determines what an API key may do.
type Role string

// The roles.
const (
	// RolePlatformTeam may do everything, for every team.
	RolePlatformTeam Role = "platform-team"
	// RoleProductTeam may create databases for its own team, and read and change them.
	RoleProductTeam Role = "product-team"
)

// Roles returns all roles.
func Roles() []Role { return []Role{RolePlatformTeam, RoleProductTeam} }

// Permission identifies an API operation by its operationId.
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

// Access determines which roles have a permission.
type Access int

// The accesses. A permission without a row in the table is denied to all roles.
const (
	AccessNobody Access = iota
	// AccessOpen needs no key.
	AccessOpen
	// AccessOwn allows both roles: platform-team for every team, product-team for its own team's resources. Another team's
	// resources do not exist for it.
	AccessOwn
	// AccessAll allows both roles to use resources that no team owns.
	AccessAll
	// AccessPlatform allows platform-team only.
	AccessPlatform
)

// accesses assigns an access to every operation of the contract.
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
	// A skipped step has not run; deciding that it can be missing needs knowledge of Kubernetes.
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

// Access returns which roles have the permission.
func (p Permission) Access() Access { return accesses[p] }

// Permissions returns all permissions in the table, in alphabetical order.
func Permissions() []Permission {
	all := make([]Permission, 0, len(accesses))
	for p := range accesses {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// mayDecide maps each action to its permission.
var mayDecide = map[Action]Permission{
	ActionRetry:  MayRetryOperation,
	ActionSkip:   MaySkipOperation,
	ActionAbort:  MayAbortOperation,
	ActionCancel: MayCancelOperation,
}

// Scope limits a request to rows of one team or of all teams. The zero value covers no rows.
type Scope struct {
	all  bool
	team string
}

// EveryTeam covers all rows.
var EveryTeam = Scope{all: true}

// OfTeam covers the rows of one team.
func OfTeam(team string) Scope { return Scope{team: team} }

// Team returns the only team in the scope, and whether the scope is limited to one.
func (s Scope) Team() (team string, limited bool) { return s.team, !s.all }

// Covers reports whether the scope includes the team's rows.
func (s Scope) Covers(team string) bool { return s.all || team != "" && s.team == team }
