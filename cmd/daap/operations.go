package main

import (
	"go.temporal.io/sdk/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// dispatcher starts operations, in the api and in the worker alike.
func (s service) dispatcher(store *persistence.Store, temporal client.Client) workflows.Dispatcher {
	return workflows.Dispatcher{Engine: workflows.Engine{Client: temporal}, Outbox: store, Log: s.log}
}

// databases are the use cases of databases, in the api and in the worker alike.
func (s service) databases(store *persistence.Store, temporal client.Client) *daap.Databases {
	return daap.NewDatabases(store, store, s.dispatcher(store, temporal), s.config.Backlog)
}
