package access

import (
	"slices"

	"github.com/avouch/avouch/internal/directory"
)

// AzureRoles lists the built-in Azure roles, the most modest first. The list is
// the caller's to keep.
func AzureRoles() []AzureRole {
	all := slices.Clone(azureRoles)
	for i := range all {
		all[i] = all[i].clone()
	}
	return all
}

// AzureRoleByID returns the built-in Azure role whose definition has that name,
// a GUID.
func AzureRoleByID(id directory.ObjectID) (AzureRole, bool) {
	role := findAzureRole(id)
	if role == nil {
		return AzureRole{}, false
	}
	return role.clone(), true
}

func (a *AzureRole) clone() AzureRole {
	c := *a
	c.Actions, c.NotActions = slices.Clone(a.Actions), slices.Clone(a.NotActions)
	c.DataActions, c.NotDataActions = slices.Clone(a.DataActions), slices.Clone(a.NotDataActions)
	return c
}

func findAzureRole(id directory.ObjectID) *AzureRole {
	if i := slices.IndexFunc(azureRoles, func(a AzureRole) bool { return a.ID == id }); i >= 0 {
		return &azureRoles[i]
	}
	return nil
}

func azureRoleName(id directory.ObjectID) string {
	if role := findAzureRole(id); role != nil {
		return role.Name
	}
	return id.String()
}

// around is what nearly every built-in role may do beside its purpose.
var around = []string{
	"Microsoft.Authorization/*/read",
	"Microsoft.Insights/alertRules/*",
	"Microsoft.Resources/deployments/*",
	"Microsoft.Resources/subscriptions/resourceGroups/read",
	"Microsoft.Support/*",
}

var seeVaults = []string{
	"Microsoft.KeyVault/checkNameAvailability/read",
	"Microsoft.KeyVault/deletedVaults/read",
	"Microsoft.KeyVault/locations/*/read",
	"Microsoft.KeyVault/vaults/*/read",
	"Microsoft.KeyVault/operations/read",
}

const (
	blobs         = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
	containers    = "Microsoft.Storage/storageAccounts/blobServices/containers/"
	delegationKey = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"
	secrets       = "Microsoft.KeyVault/vaults/secrets/"
)

// azureRoles holds the definitions of the built-in roles that this platform
// knows. Source: Microsoft's "Azure built-in roles", files of
// MicrosoftDocs/azure-docs under articles/role-based-access-control/built-in-roles;
// names and ids also in reference/resource-manager.md, 5.2.
//
// The order is from modest to mighty: the first that would do is proposed.
var azureRoles = []AzureRole{
	{
		ID:          directory.MustObjectID("acdd72a7-3385-48ef-bd42-f606fba81ae7"),
		Name:        "Reader",
		Description: "Sees all resources, and changes none.",
		Actions:     []string{"*/read"},
	},
	{
		ID:          directory.MustObjectID("f1a07417-d97a-45cb-824c-7a7467783830"),
		Name:        "Managed Identity Operator",
		Description: "Sees user-assigned managed identities and assigns them to resources.",
		Actions: slices.Concat([]string{
			"Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
			"Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
		}, around),
	},
	{
		ID:          directory.MustObjectID("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
		Name:        "Managed Identity Contributor",
		Description: "Manages user-assigned managed identities and their federated credentials.",
		Actions: slices.Concat([]string{
			"Microsoft.ManagedIdentity/userAssignedIdentities/read",
			"Microsoft.ManagedIdentity/userAssignedIdentities/write",
			"Microsoft.ManagedIdentity/userAssignedIdentities/delete",
			"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
			"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
			"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
			"Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
		}, around),
	},
	{
		ID:          directory.MustObjectID("db58b8e5-c6ad-4a2a-8342-4190687cbf4a"),
		Name:        "Storage Blob Delegator",
		Description: "Gets the key with which shared access to blobs is signed.",
		Actions:     []string{delegationKey},
	},
	{
		ID:          directory.MustObjectID("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
		Name:        "Storage Blob Data Reader",
		Description: "Reads and lists containers and blobs.",
		Actions:     []string{containers + "read", delegationKey},
		DataActions: []string{blobs + "read"},
	},
	{
		ID:          directory.MustObjectID("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
		Name:        "Storage Blob Data Contributor",
		Description: "Reads, writes and deletes containers and blobs.",
		Actions:     []string{containers + "delete", containers + "read", containers + "write", delegationKey},
		DataActions: []string{blobs + "delete", blobs + "read", blobs + "write", blobs + "move/action", blobs + "add/action"},
	},
	{
		ID:          directory.MustObjectID("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
		Name:        "Storage Blob Data Owner",
		Description: "Does everything with containers and blobs, and sets their owners and access lists.",
		Actions:     []string{containers + "*", delegationKey},
		DataActions: []string{blobs + "*"},
	},
	{
		ID:          directory.MustObjectID("21090545-7ca7-4776-b22c-e363652d74d2"),
		Name:        "Key Vault Reader",
		Description: "Sees what is in key vaults, but no secret's value and no key.",
		Actions:     slices.Concat(around, seeVaults),
		DataActions: []string{"Microsoft.KeyVault/vaults/*/read", secrets + "readMetadata/action"},
	},
	{
		ID:          directory.MustObjectID("4633458b-17de-408a-b874-0445c86b69e6"),
		Name:        "Key Vault Secrets User",
		Description: "Reads the values of secrets.",
		DataActions: []string{secrets + "getSecret/action", secrets + "readMetadata/action"},
	},
	{
		ID:          directory.MustObjectID("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
		Name:        "Key Vault Secrets Officer",
		Description: "Does everything with secrets but deciding who else may.",
		Actions:     slices.Concat(around, seeVaults),
		DataActions: []string{secrets + "*"},
	},
	{
		ID:          directory.MustObjectID("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
		Name:        "Key Vault Administrator",
		Description: "Does everything with what is in key vaults, but manages neither the vaults nor who else may.",
		Actions:     slices.Concat(around, seeVaults),
		DataActions: []string{"Microsoft.KeyVault/vaults/*"},
	},
	{
		ID:          directory.MustObjectID("de139f84-1756-47ae-9be6-808fbbe84772"),
		Name:        "Website Contributor",
		Description: "Manages web apps, but not the plans they run in.",
		Actions: slices.Concat(around, []string{
			"Microsoft.Insights/components/*",
			"Microsoft.ResourceHealth/availabilityStatuses/read",
			"Microsoft.Web/certificates/*",
			"Microsoft.Web/listSitesAssignedToHostName/read",
			"Microsoft.Web/serverFarms/join/action",
			"Microsoft.Web/serverFarms/read",
			"Microsoft.Web/sites/*",
		}),
	},
	{
		ID:          directory.MustObjectID("9980e02c-c2be-4d73-94e8-173b1dc7cf3c"),
		Name:        "Virtual Machine Contributor",
		Description: "Manages virtual machines, but not the networks and storage accounts they use, and signs in to none.",
		Actions: slices.Concat(around, []string{
			"Microsoft.Compute/availabilitySets/*",
			"Microsoft.Compute/locations/*",
			"Microsoft.Compute/virtualMachines/*",
			"Microsoft.Compute/virtualMachineScaleSets/*",
			"Microsoft.Compute/cloudServices/*",
			"Microsoft.Compute/disks/write",
			"Microsoft.Compute/disks/read",
			"Microsoft.Compute/disks/delete",
			"Microsoft.DevTestLab/schedules/*",
			"Microsoft.Network/applicationGateways/backendAddressPools/join/action",
			"Microsoft.Network/loadBalancers/backendAddressPools/join/action",
			"Microsoft.Network/loadBalancers/inboundNatPools/join/action",
			"Microsoft.Network/loadBalancers/inboundNatRules/join/action",
			"Microsoft.Network/loadBalancers/probes/join/action",
			"Microsoft.Network/loadBalancers/read",
			"Microsoft.Network/locations/*",
			"Microsoft.Network/networkInterfaces/*",
			"Microsoft.Network/networkSecurityGroups/join/action",
			"Microsoft.Network/networkSecurityGroups/read",
			"Microsoft.Network/publicIPAddresses/join/action",
			"Microsoft.Network/publicIPAddresses/read",
			"Microsoft.Network/virtualNetworks/read",
			"Microsoft.Network/virtualNetworks/subnets/join/action",
			"Microsoft.RecoveryServices/locations/*",
			"Microsoft.RecoveryServices/Vaults/backupFabrics/backupProtectionIntent/write",
			"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/*/read",
			"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/read",
			"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/write",
			"Microsoft.RecoveryServices/Vaults/backupPolicies/read",
			"Microsoft.RecoveryServices/Vaults/backupPolicies/write",
			"Microsoft.RecoveryServices/Vaults/read",
			"Microsoft.RecoveryServices/Vaults/usages/read",
			"Microsoft.RecoveryServices/Vaults/write",
			"Microsoft.ResourceHealth/availabilityStatuses/read",
			"Microsoft.SerialConsole/serialPorts/connect/action",
			"Microsoft.SqlVirtualMachine/*",
			"Microsoft.Storage/storageAccounts/listKeys/action",
			"Microsoft.Storage/storageAccounts/read",
		}),
	},
	{
		ID:          directory.MustObjectID("b24988ac-6180-42a0-ab88-20f7382dd24c"),
		Name:        "Contributor",
		Description: "Manages all resources, but not who else may.",
		Actions:     []string{"*"},
		NotActions: []string{
			"Microsoft.Authorization/*/Delete",
			"Microsoft.Authorization/*/Write",
			"Microsoft.Authorization/elevateAccess/Action",
			"Microsoft.Blueprint/blueprintAssignments/write",
			"Microsoft.Blueprint/blueprintAssignments/delete",
			"Microsoft.Compute/galleries/share/action",
			"Microsoft.Purview/consents/write",
			"Microsoft.Purview/consents/delete",
			"Microsoft.Resources/deploymentStacks/manageDenySetting/action",
			"Microsoft.Subscription/cancel/action",
			"Microsoft.Subscription/enable/action",
		},
	},
	{
		ID:          directory.MustObjectID("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
		Name:        "Role Based Access Control Administrator",
		Description: "Assigns Azure roles, and sees all resources.",
		Actions: []string{
			"Microsoft.Authorization/roleAssignments/write",
			"Microsoft.Authorization/roleAssignments/delete",
			"*/read",
			"Microsoft.Support/*",
		},
	},
	{
		ID:          directory.MustObjectID("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
		Name:        "User Access Administrator",
		Description: "Manages who may do what with resources, and sees them all.",
		Actions:     []string{"*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"},
	},
	{
		ID:          AzureOwner,
		Name:        "Owner",
		Description: "Manages all resources, and who else may.",
		Actions:     []string{"*"},
	},
}

// AzureOwner is the id of the role Owner.
var AzureOwner = directory.MustObjectID("8e3af657-a8ff-443c-a75c-2fe8c4bcb635")
