// Stores a purchase and reads the person back.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.org/first/profiles/v1"
)

func main() {
	connection, err := grpc.NewClient("127.0.0.1:50051", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewProfilesClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	anna := &pb.Identifier{Id: &pb.Identifier_CustomId{CustomId: "anna"}}
	purchase := &pb.Event{EventId: "order-1001", Name: "purchase", Attributes: map[string]*pb.Value{
		"amount":   {Kind: &pb.Value_Number{Number: 59.9}},
		"currency": {Kind: &pb.Value_String_{String_: "EUR"}},
	}}
	response, err := client.Track(ctx, &pb.TrackRequest{Project: "default", Identifier: anna, Events: []*pb.Event{purchase}})
	if err != nil {
		// Details are *errdetails.ErrorInfo with the reason, and *errdetails.BadRequest with every invalid field.
		log.Fatal(status.Convert(err).Message(), status.Convert(err).Details())
	}
	fmt.Println(response.Results[0].Status, "at lsn", response.Lsn)

	read, err := client.GetProfile(ctx, &pb.GetProfileRequest{Project: "default", Identifier: anna})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Profile.CustomId, "has", read.Profile.EventCounters[0].Count, "purchase")
}
