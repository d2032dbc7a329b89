/** The reference of all functions, to read and to try, from the OpenAPI document beside this page. */

// The package carries no types.
// @ts-expect-error
import SwaggerUIBundle from "swagger-ui-dist/swagger-ui-es-bundle.js";

SwaggerUIBundle({ url: "openapi.json", dom_id: "#reference", deepLinking: true, docExpansion: "list" });
