package workflows

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long closed workflows stay: for inspection, and to refuse a second run of an ID.
const retention = 14 * 24 * time.Hour

// Prepare creates the Temporal namespace, if it is missing, and adds the search attributes that the workflows need.
// Safe to repeat. While Temporal is slow or unavailable, it reports that and tries again, for at most two minutes for
// each call.
func Prepare(ctx context.Context, c client.Client, namespace string, report func(error)) error {
	err := persist(ctx, "register namespace "+namespace, report, func(ctx context.Context) error {
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace:                        namespace,
			Description:                      "Operations of DAAP",
			WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		})
		return err
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register namespace %s: %w", namespace, err)
	}
	return persist(ctx, "add search attributes", report, func(ctx context.Context) error {
		return addSearchAttributes(ctx, c, namespace)
	})
}

// Check returns an error, which names the remedy, if the Temporal namespace lacks a search attribute that the
// workflows need: without it every start would fail. While Temporal is slow or unavailable, it reports that and tries
// again, for at most two minutes for each call. Afterwards a Worker of the client starts without asking Temporal what
// it can do, which it would ask once only.
func Check(ctx context.Context, c client.Client, namespace string, report func(error)) error {
	err := persist(ctx, "reach Temporal", report, func(ctx context.Context) error {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	})
	if err != nil {
		return fmt.Errorf("reach Temporal: %w", err)
	}
	var missing map[string]enumspb.IndexedValueType
	err = persist(ctx, "check namespace "+namespace, report, func(ctx context.Context) error {
		var err error
		missing, err = missingSearchAttributes(ctx, c, namespace)
		return err
	})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		names := slices.Sorted(maps.Keys(missing))
		return fmt.Errorf("temporal namespace %s lacks the search attributes %s; run daap migrate",
			namespace, strings.Join(names, ", "))
	}
	return nil
}

func addSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	missing, err := missingSearchAttributes(ctx, c, namespace)
	if err != nil || len(missing) == 0 {
		return err
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx,
		&operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return nil
}

func missingSearchAttributes(
	ctx context.Context, c client.Client, namespace string,
) (map[string]enumspb.IndexedValueType, error) {
	present, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes: %w", err)
	}
	missing := SearchAttributes()
	for name, kind := range present.GetCustomAttributes() {
		if missing[name] == kind {
			delete(missing, name)
		}
	}
	return missing, nil
}
