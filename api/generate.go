package api

//go:generate go tool ogen --config ../.ogen.yml --target oas --package oas --clean ../openapi.yaml
