//go:build !race

package storetest

const propertyCases = 40
