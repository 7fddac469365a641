package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// nameOfTier is the unique index on the names of tiers.
const nameOfTier = "tiers_name_is_one"

// selectTiers reads tiers in the order of scanTier.
var selectTiers = `SELECT t.id, t.name, t.description, t.created_at, t.updated_at, t.` +
	strings.Join(fieldColumns(), ", t.") + ` FROM tiers t`

// Tier returns the tier. Errors: CodeNotFound.
func (s *Store) Tier(ctx context.Context, id uuid.UUID) (daap.Tier, error) {
	rows, _ := s.pool.Query(ctx, selectTiers+` WHERE t.id = $1`, id) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if err != nil {
		return daap.Tier{}, missing(err, "read tier", "tier")
	}
	return t, nil
}

// Tiers returns the tiers that the filter selects, newest first, at most one page.
func (s *Store) Tiers(ctx context.Context, f daap.TierFilter) ([]daap.Tier, error) {
	var w filter
	if f.Page.After != uuid.Nil {
		w.andWith(`t.id < $`, f.Page.After)
	}
	sql := selectTiers + w.where() + ` ORDER BY t.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	tiers, err := pgx.CollectRows(rows, scanTier)
	if err != nil {
		return nil, because(err, "read tiers")
	}
	return tiers, nil
}

// CreateTier records the tier. Errors: CodeNameTaken and those of answerOnce.
func (s *Store) CreateTier(ctx context.Context, by daap.Grant, t daap.Tier) (daap.Tier, error) {
	made, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		columns, values := tierColumns(t)
		err := tx.QueryRow(ctx, `
			INSERT INTO tiers (id, `+strings.Join(columns, ", ")+`) VALUES ($1, `+placeholders(2, len(columns))+`)
			RETURNING created_at, updated_at`, append([]any{t.ID}, values...)...).Scan(&t.CreatedAt, &t.UpdatedAt)
		if err != nil {
			return t, err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO tier_usage (tier_id) VALUES ($1)`, t.ID); err != nil {
			return t, err
		}
		return t, addAudit(ctx, tx, by.Changed(theTier(t.ID), nil, tierFields(t)))
	})
	if violates(err, nameOfTier) {
		return daap.Tier{}, daap.TierNameTaken(t.Name)
	}
	return made, because(err, "create tier")
}

// PatchTier applies the patch to the locked tier. Errors: CodeNotFound, CodeValidationFailed, those of answerOnce.
func (s *Store) PatchTier(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.TierPatch, catalog daap.Catalog,
) (daap.Tier, error) {
	t, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		was, err := lockTier(ctx, tx, id)
		if err != nil {
			return was, err
		}
		t, err := patch.Apply(was, catalog)
		if err != nil {
			return t, err
		}
		columns, values := tierColumns(t)
		err = tx.QueryRow(ctx, `
			UPDATE tiers SET (`+strings.Join(columns, ", ")+`) = (`+placeholders(2, len(columns))+`), updated_at = now()
			WHERE  id = $1
			RETURNING updated_at`, append([]any{id}, values...)...).Scan(&t.UpdatedAt)
		if err != nil {
			return t, err
		}
		before, after := changed(tierFields(was), tierFields(t))
		return t, addAudit(ctx, tx, by.Changed(theTier(id), before, after))
	})
	return t, because(err, "patch tier")
}

// DeleteTier removes the tier. Errors: CodeNotFound, CodeTierInUse, those of answerOnce.
func (s *Store) DeleteTier(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Tier, error) {
	t, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		t, err := lockTier(ctx, tx, id)
		if err != nil {
			return t, err
		}
		var databases int
		err = tx.QueryRow(ctx, `
			SELECT count(*) FROM (
				SELECT id FROM databases WHERE tier_id = $1
				UNION SELECT database_id FROM reservations WHERE tier_id = $1) AS has_it`, id).Scan(&databases)
		if err != nil {
			return t, err
		}
		if databases > 0 {
			return t, daap.TierInUse(databases)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM tiers WHERE id = $1`, id); err != nil {
			return t, err
		}
		return t, addAudit(ctx, tx, by.Changed(theTier(id), tierFields(t), nil))
	})
	return t, because(err, "delete tier")
}

// Destinations returns every current and former location of backups.
func (s *Store) Destinations(ctx context.Context) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT object_storage_destination FROM tiers WHERE backup_enabled
		UNION
		SELECT profile ->> 'object_storage_destination' FROM databases WHERE (profile ->> 'backup_enabled')::boolean
		ORDER  BY 1`) // Collect returns its error
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, because(err, "read backup destinations")
	}
	return all, nil
}

// theTier identifies a tier in the audit log.
func theTier(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceTier, ID: id} }

// tierFields are the fields of a tier as the audit log has them.
func tierFields(t daap.Tier) fields {
	all := t.Values()
	all["name"], all["description"] = t.Name, t.Description
	return all
}

// lockTier locks the tier against changes, and against new databases.
func lockTier(ctx context.Context, tx pgx.Tx, id uuid.UUID) (daap.Tier, error) {
	rows, _ := tx.Query(ctx, selectTiers+` WHERE t.id = $1 FOR UPDATE`, id) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if err != nil {
		return daap.Tier{}, missing(err, "lock tier", "tier")
	}
	return t, nil
}

// chooseTier finds the tier by its ID or its name, and prevents its deletion during the transaction. Errors:
// CodeValidationFailed if there is none.
func chooseTier(ctx context.Context, tx pgx.Tx, named string) (daap.Tier, error) {
	by, arg := `t.name = $1`, any(named)
	if id, err := uuid.Parse(named); err == nil {
		by, arg = `t.id = $1`, id
	} else if !daap.NameRule.Pattern.MatchString(named) { // PostgreSQL cannot compare text that it cannot store
		return daap.Tier{}, daap.TierNotFound()
	}
	rows, _ := tx.Query(ctx, selectTiers+` WHERE `+by+` FOR KEY SHARE`, arg) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.Tier{}, daap.TierNotFound()
	}
	if err != nil {
		return daap.Tier{}, fmt.Errorf("choose tier: %w", err)
	}
	return t, nil
}

// quantityColumns are the columns of fields that are quantities: PostgreSQL has them as whole numbers of a unit.
var quantityColumns = map[string]struct {
	column string
	number func(*resource.Quantity) int64
	of     func(int64) *resource.Quantity
}{
	"cpu":          {"cpu_millis", (*resource.Quantity).MilliValue, cores},
	"memory":       {"memory_bytes", (*resource.Quantity).Value, size},
	"storage_size": {"storage_bytes", (*resource.Quantity).Value, size},
}

func cores(millis int64) *resource.Quantity {
	return resource.NewMilliQuantity(millis, resource.DecimalSI)
}

func size(bytes int64) *resource.Quantity { return resource.NewQuantity(bytes, resource.BinarySI) }

// fieldColumns are the columns of daap.TierFields, in that order. A column has the name of its field, unless
// quantityColumns says otherwise.
func fieldColumns() []string {
	columns := daap.TierFields()
	for i, name := range columns {
		if q, is := quantityColumns[name]; is {
			columns[i] = q.column
		}
	}
	return columns
}

// tierColumns are the columns of a tier that change, and their values.
func tierColumns(t daap.Tier) (columns []string, values []any) {
	values = []any{t.Name, t.Description}
	all := t.Values()
	for _, name := range daap.TierFields() {
		field := all[name]
		if q, is := quantityColumns[name]; is {
			of := resource.MustParse(fmt.Sprint(field))
			field = q.number(&of)
		}
		values = append(values, field)
	}
	return append([]string{"name", "description"}, fieldColumns()...), values
}

// placeholders are n placeholders of SQL, from the given one on.
func placeholders(from, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(all, ", ")
}

func scanTier(row pgx.CollectableRow) (daap.Tier, error) {
	var t daap.Tier
	names := daap.TierFields()
	found, numbers := make([]any, len(names)), make([]int64, len(names))
	targets := []any{&t.ID, &t.Name, &t.Description, &t.CreatedAt, &t.UpdatedAt}
	for i, name := range names {
		if _, is := quantityColumns[name]; is {
			targets = append(targets, &numbers[i])
		} else {
			targets = append(targets, &found[i])
		}
	}
	if err := row.Scan(targets...); err != nil {
		return t, err
	}
	values := make(map[string]json.RawMessage, len(names))
	for i, name := range names {
		if q, is := quantityColumns[name]; is {
			found[i] = q.of(numbers[i])
		}
		raw, err := json.Marshal(found[i])
		if err != nil {
			return t, fmt.Errorf("read field %s: %w", name, err)
		}
		values[name] = raw
	}
	var err error
	t.Profile, err = daap.ProfileOf(values)
	return t, err
}
